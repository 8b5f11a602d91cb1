// The spellings of disks, targets and parts on the command line, turned into requests.
import type { DiskRequest, RecoverTarget } from '../agent/control/client.ts';
import { HomewardError } from '../core/errors.ts';
import type { AssignedSeed } from '../core/identity/assignment.ts';
import { limits } from '../core/limits.ts';
import { parseDuration, parseSize } from '../core/units.ts';
import { formatTyped, parseTime } from '../core/when-time.ts';

export type Resolve = (file: string) => string;

/**
 * `M a=1 b=2` in any order: operands with a `=` continue the list of the option `flag` before them, the one
 * without is the machine (a name cannot have a `=`).
 */
export function splitOperands(
  operands: readonly string[],
  flag: string,
): { machine: string; more: string[] } {
  const machines = operands.filter((operand) => !operand.includes('='));
  const [machine, unexpected] = machines;
  if (machine === undefined) throw new HomewardError('usage', 'the machine is missing');
  if (unexpected !== undefined) {
    throw new HomewardError('usage', `"${unexpected}" is neither the machine nor a NAME=… of ${flag}`);
  }
  return { machine, more: operands.filter((operand) => operand.includes('=')) };
}

/** Reads NAME=SIZE[@DEVICE]. */
export function parseDisk(text: string, resolve: Resolve): DiskRequest {
  const match = /^([^=]+)=([^@]+)(?:@(.+))?$/.exec(text);
  const [, name, size, device] = match ?? [];
  if (name === undefined || size === undefined) {
    throw new HomewardError('usage', `"${text}" is not a disk`, {
      hint: 'Give NAME=SIZE or NAME=SIZE@DEVICE, for example --disk root=20G.',
    });
  }
  if (/^0+(\.0+)?[KMGT]?(iB|B)?$/i.test(size))
    throw new HomewardError('bad-disk-size', `"${text}" has no bytes`);
  const disk = { name, sizeBytes: parseSize(size) };
  return device === undefined ? disk : { ...disk, device: resolveDevice(device, resolve) };
}

/** Reads raw:DIR, qcow2:DIR, vmdk:DIR, or block:NAME=DEVICE with `more` of the same. */
export function parseTarget(
  texts: readonly string[],
  more: readonly string[],
  resolve: Resolve,
): RecoverTarget {
  const [first, ...others] = texts;
  if (first === undefined) throw new HomewardError('usage', '--to is missing', { hint: targetHint });
  const tooMany = [...more, ...others][0];
  const refuseMore = (): void => {
    if (tooMany !== undefined)
      throw new HomewardError('bad-target', `"${tooMany}" cannot go together with "${first}"`);
  };
  if (first === 'in-place') {
    refuseMore();
    return { kind: 'in-place' };
  }
  const [, kind, place] = /^(raw|qcow2|vmdk|block):(.+)$/s.exec(first) ?? [];
  if (place === undefined) throw new HomewardError('bad-target', `"${first}" is not a target`);
  if (kind === 'block') {
    const rest = others.map((text) => {
      if (!text.startsWith('block:'))
        throw new HomewardError('bad-target', `"${text}" cannot go together with "${first}"`);
      return text.slice('block:'.length);
    });
    return { kind, devices: [place, ...more, ...rest].map((text) => parseDevice(text, resolve)) };
  }
  refuseMore();
  return { kind: kind as 'raw' | 'qcow2' | 'vmdk', directory: resolve(place) };
}

const targetHint = 'Give --to raw:DIR, qcow2:DIR, vmdk:DIR, block:NAME=DEVICE or in-place.';

function parseDevice(text: string, resolve: Resolve): { disk: string; device: string } {
  const [, disk, device] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (disk === undefined || device === undefined) {
    throw new HomewardError('bad-target', `"${text}" is not NAME=DEVICE`);
  }
  return { disk, device: resolveDevice(device, resolve) };
}

/** A bare name is one of /dev/disk/by-id, for the daemon to find; a path is the caller's. */
function resolveDevice(device: string, resolve: Resolve): string {
  return device.includes('/') ? resolve(device) : device;
}

/** `unix:PATH` with the path made absolute; everything else as typed. */
export function resolveListen(text: string, resolve: Resolve): string {
  const file = text.startsWith('unix:') ? text.slice('unix:'.length) : '';
  return file === '' ? text : `unix:${resolve(file)}`;
}

/** Reads n/t, the n-th of t parts. */
export function parsePart(text: string): { n: number; of: number } {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  const part = { n: Number(match?.[1]), of: Number(match?.[2]) };
  if (!match || part.n < 1 || part.n > part.of) {
    throw new HomewardError('usage', `"${text}" is not a part`, {
      hint: 'Give n/t with n from 1 to t, for example --part 2/7.',
    });
  }
  return part;
}

/** The value of an option without which the verb makes no sense. */
export function required(value: string | undefined, flag: string): string {
  if (value === undefined) throw new HomewardError('usage', `${flag} is missing`);
  if (value === '') throw new HomewardError('usage', `${flag} is empty`);
  return value;
}

/** Reads the time of --for, in milliseconds; null without one. */
export function parseFor(text: string | undefined): number | null {
  const ms = text === undefined ? null : parseDuration(text);
  if (ms === 0) throw new HomewardError('bad-duration', `--for ${text} is no time at all`);
  return ms;
}

/** All disks of a machine. */
export function parseDisks(texts: readonly string[], resolve: Resolve): DiskRequest[] {
  if (texts.length === 0) {
    throw new HomewardError('usage', '--disk is missing', {
      hint: 'Name each disk, for example --disk root=20G.',
    });
  }
  if (texts.length > limits.disksPerMachine) {
    const most = `a machine has ${limits.disksPerMachine} at the most`;
    throw new HomewardError('usage', `--disk names ${texts.length} disks; ${most}`, {
      hint: 'Protect the others as a machine of their own.',
    });
  }
  return texts.map((text) => parseDisk(text, resolve));
}

/** A moment as it is sent, and as it is shown again where it is a time. */
export interface AskedMoment {
  at: string;
  shown: string | null;
}

/** Reads the moment of --at. A time without an offset is in the zone of whoever types it. */
export function parseAt(text: string | undefined): AskedMoment {
  const at = required(text, '--at');
  if (!/^\d{4}-/.test(at)) return { at, shown: null };
  const typed = parseTime(at);
  if (typed === null) throw new HomewardError('bad-when', `"${at}" is not a moment`);
  return { at: typed.text, shown: formatTyped(typed) };
}

/** Reads NAME=PATH of a seed: a path on the master target, whose ending says what lies there. */
export function parseSeed(text: string): AssignedSeed {
  const [, disk, place] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (disk === undefined || place === undefined || !place.startsWith('/')) {
    throw new HomewardError('usage', `"${text}" is not a seed`, {
      hint: 'Give NAME=PATH with an absolute path on the master target: --seed root=/old/root.qcow2.',
    });
  }
  return { disk, path: place, format: seedFormat(place) };
}

function seedFormat(place: string): AssignedSeed['format'] {
  if (place.startsWith('/dev/')) return 'device';
  const ending = /\.(qcow2|vmdk)$/i.exec(place)?.[1]?.toLowerCase();
  return ending === 'qcow2' || ending === 'vmdk' ? ending : 'raw';
}

/** Reads a whole number that is not below `least`. */
export function parseCount(text: string, flag: string, least: number): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (count >= least) return count;
  throw new HomewardError('usage', `${flag} ${text} is not a whole number from ${least}`);
}

// All machines of a retention volume: found at start, looked up by name or id, made when one is new.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import type { Assignment } from '../core/identity/assignment.ts';
import { checkDiskName, checkDiskSize, checkMachineName } from '../core/names.ts';
import type { DiskRequest } from './control/service.ts';
import { KnownDamage } from './known-damage.ts';
import { Machine } from './machine.ts';
import type { MachineContext } from './machine-context.ts';
import { machinePaths, type MachinePaths } from './machine-paths.ts';
import { isReleased, refuseFenced, refuseReleased } from './recovery/hand-over.ts';
import { readMachineFile, type MachineFile, type ProtectedDisk } from './replica/machine-file.ts';
import { dropHistory } from './recovery/hand-over-release.ts';
import { refuseWithoutFloor } from './retention/fit.ts';
import { inspectDevice, refuseUnsafeTarget, storedTargetName } from './replica/target-device.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A machine whose directory is there but cannot be opened: the others go on, and status says why. */
export interface BrokenMachine {
  id: string;
  /** The id when the file that says the name cannot be read. */
  name: string;
  error: HomewardError;
}

export class Machines {
  readonly #context: MachineContext;
  readonly #machines = new Map<string, Machine>();
  readonly broken: BrokenMachine[] = [];
  readonly damage: KnownDamage;
  /** Given away: nothing of them is opened, least of all their replicas. */
  readonly released: MachineFile[] = [];

  private constructor(context: MachineContext) {
    this.#context = context;
    this.damage = new KnownDamage(context.log);
  }

  /** Opens every machine on the volume. One that cannot be opened is left as it is, and reported. */
  static async open(context: MachineContext): Promise<Machines> {
    const machines = new Machines(context);
    const { retention, log } = context;
    for (const id of fs
      .readdirSync(retention)
      .filter((name) => uuid.test(name))
      .sort()) {
      if (isUnfinished(machinePaths(retention, id))) {
        log.warn('machine-unfinished', { directory: machinePaths(retention, id).directory });
        continue;
      }
      try {
        if (machines.#noteReleased(id)) continue;
        const machine = await Machine.open(context, id);
        machines.#machines.set(id, machine);
        machines.damage.load(machine);
      } catch (error) {
        const reason = toHomewardError(error);
        log.error('machine-not-opened', { machine: id, code: reason.code, error: reason });
        machines.broken.push({
          id,
          name: tryName(machinePaths(retention, id).machineFile) ?? id,
          error: reason,
        });
      }
    }
    return machines;
  }

  /** True for one that was given away: of its history only what a crash has left is looked at, and goes. */
  #noteReleased(id: string): boolean {
    const { retention, log } = this.#context;
    const paths = machinePaths(retention, id);
    const file = readMachineFile(paths.machineFile);
    if (file.id !== id || !isReleased(file) || file.handOver?.stage !== 'done') return false;
    this.released.push(file);
    dropHistory(paths, file, log);
    return true;
  }

  /** From now on nobody looks after it; `takeBackIn` undoes that. */
  letGo(machine: Machine): void {
    this.#machines.delete(machine.id);
    this.released.push(machine.file);
  }
  takeBackIn(machine: Machine): void {
    this.released.splice(this.released.indexOf(machine.file), 1);
    this.#machines.set(machine.id, machine);
  }

  /** What is said of one that was handed over, or null. */
  handedOver(id: string): MachineFile | null {
    const file = this.#machines.get(id)?.file ?? this.released.find((released) => released.id === id);
    return file?.handOver === undefined ? null : file;
  }

  list(): Machine[] {
    return [...this.#machines.values()];
  }
  /** One that is open, by its id. */
  find(id: string): Machine | null {
    return this.#machines.get(id) ?? null;
  }

  /** Those of `ids` whose directory is not on the retention volume, or was never finished. */
  missing(ids: readonly string[]): BrokenMachine[] {
    const gone = ids.filter(
      (id) => !this.#machines.has(id) && ![...this.broken, ...this.released].some((known) => known.id === id),
    );
    return gone.map((id) => {
      const { directory } = machinePaths(this.#context.retention, id);
      const what = fs.existsSync(directory) ? 'holds no machine' : 'is missing';
      const hint = `Put it back and start again, or forget the machine with \`homeward ingest close ${id}\`.`;
      const error = new HomewardError('damaged', `${directory} ${what}, but its ingest is to be open`, {
        hint,
      });
      return { id, name: id, error };
    });
  }

  /** `key` is a name or an id. */
  get(key: string): Machine {
    const machine = this.#machines.get(key) ?? this.list().find(({ name }) => name === key);
    if (machine !== undefined) {
      refuseReleased(machine.file);
      return machine;
    }
    const released = this.released.find(({ id, name }) => id === key || name === key);
    if (released !== undefined) refuseReleased(released);
    const broken = this.broken.find(({ id, name }) => id === key || name === key);
    if (broken !== undefined) throw broken.error;
    throw new HomewardError('no-such-machine', `there is no machine "${key}"`);
  }

  /** The machine of that name with just those disks, made when there is none. */
  async ensure(
    name: string,
    requested: readonly DiskRequest[],
    seeding: boolean,
  ): Promise<{ machine: Machine; made: boolean }> {
    const disks = requested.map(checkDisk);
    const twice = disks.find((disk, index) => disks.findIndex((other) => other.name === disk.name) < index);
    if (twice !== undefined) throw new HomewardError('usage', `disk ${twice.name} is given twice`);
    const known = this.list().find((machine) => machine.name === name || machine.id === name);
    if (known !== undefined) {
      refuseReleased(known.file);
      refuseChain(known);
      refuseOtherDisks(known, disks);
      return { machine: known, made: false };
    }
    this.#refuseBroken(name);
    if (this.released.some((released) => released.name === name || released.id === name)) this.get(name);
    checkMachineName(name);
    for (const disk of disks) {
      if (disk.replica.kind === 'device') refuseUnsafeTarget(inspectDevice(disk.replica.byId), disk.size, []);
    }
    this.#refuseWithoutFloor({ name, disks });
    const machine = await Machine.create(this.#context, { id: randomUUID(), name, disks, seeding });
    this.#machines.set(machine.id, machine);
    this.#context.log.info('machine-made', { machine: machine.id, name, disks: disks.length, seeding });
    return { machine, made: true };
  }

  /**
   * The machine of an assignment, made when it is not there, with its own id. Its first copy is under way
   * until the source has sent the end of a sync. Throws 'conflict' when another machine here has its name.
   */
  async ensureAssigned(assignment: Assignment): Promise<Machine> {
    const { machine: id, name, windowMs } = assignment;
    const disks = assignment.disks.map(({ name: disk, size }) => checkDisk({ name: disk, sizeBytes: size }));
    const broken = this.broken.find((candidate) => candidate.id === id);
    if (broken !== undefined) throw broken.error;
    const handedOver = this.handedOver(id);
    if (handedOver !== null) refuseFenced(handedOver);
    const other = this.list().find((machine) => machine.name === name && machine.id !== id);
    if (other !== undefined) {
      const how = other.file.path === 'chain' ? 'comes over the chain' : 'takes direct ingest';
      throw new HomewardError(
        'conflict',
        `another machine here is called "${name}": ${other.id}, which ${how}`,
        {
          hint: 'Protect it under another name, or move that machine away.',
        },
      );
    }
    const known = this.#machines.get(id);
    if (known !== undefined) {
      // A source chooses its id: it must not become the source of what was written here directly.
      if (known.file.path !== 'chain')
        throw new HomewardError(
          'conflict',
          `the machine ${id} here takes direct ingest; it is no machine of a source`,
        );
      if (known.name !== name || known.file.windowMs !== windowMs) known.changeFile({ name, windowMs });
      return known;
    }
    checkMachineName(name);
    this.#refuseWithoutFloor({ name, disks, windowMs });
    const machine = await Machine.create(this.#context, {
      ...{ id, name, disks, windowMs },
      ...{ seeding: true, path: 'chain' },
    });
    this.#machines.set(id, machine);
    this.#context.log.info('machine-made', { machine: id, name, disks: disks.length, path: 'chain' });
    return machine;
  }

  /** Undoes `ensure` for a machine that it made, before anybody could write to it. */
  async takeBack(machine: Machine): Promise<void> {
    this.#machines.delete(machine.id);
    await machine.takeBack();
    this.#context.log.info('machine-taken-back', { machine: machine.id, name: machine.name });
  }

  /** Before anything is made. One that is there already is served, whether its floor fits or not. */
  #refuseWithoutFloor(machine: Pick<MachineFile, 'name' | 'disks' | 'windowMs'>): void {
    const { retention, config, clock } = this.#context;
    refuseWithoutFloor({ retention, config, machines: this.list(), machine, now: clock.now() });
  }

  /** A machine that cannot be opened is not to be made a second time, nor one that may be it. */
  #refuseBroken(name: string): void {
    if (this.broken.some((broken) => broken.name === name || broken.id === name)) this.get(name);
    const nameless = this.broken.find((broken) => broken.name === broken.id);
    if (nameless === undefined) return;
    throw new HomewardError('conflict', `${nameless.id} may be "${name}": ${nameless.error.message}`, {
      hint: `Mend ${nameless.id} or move its directory away, then start again; none can be made before.`,
    });
  }

  async close(): Promise<void> {
    for (const machine of this.#machines.values()) {
      this.damage.save(machine);
      await machine.close().catch((error: unknown) => {
        this.#context.log.error('machine-close-failed', {
          machine: machine.id,
          error: toHomewardError(error),
        });
      });
    }
    this.#machines.clear();
  }
}

function checkDisk({ name, sizeBytes, device }: DiskRequest): ProtectedDisk {
  const replica =
    device === undefined
      ? ({ kind: 'file' } as const)
      : ({ kind: 'device', byId: storedTargetName(device) } as const);
  return { name: checkDiskName(name), size: checkDiskSize(sizeBytes), replica };
}

/** What a machine gets over the chain is numbered at its source: nobody else may write to it. */
export function refuseChain({ name, file }: Machine, hint?: string): void {
  if (file.path !== 'chain') return;
  throw new HomewardError('conflict', `${name} comes over the chain`, {
    hint: hint ?? 'What is done here is for machines with direct ingest; `homeward status` shows both.',
  });
}

function refuseOtherDisks(machine: Machine, disks: readonly ProtectedDisk[]): void {
  const spell = (list: readonly ProtectedDisk[]): string =>
    list
      .map(
        ({ name, size, replica }) => `${name}=${size}${replica.kind === 'device' ? `@${replica.byId}` : ''}`,
      )
      .join(' ');
  const had = spell(machine.file.disks);
  const asked = spell(disks);
  if (had !== asked)
    throw new HomewardError('machine-differs', `${machine.name} has the disks ${had}, not ${asked}`);
}

/** Its making was interrupted: nothing can have been recorded before `machine.json` was there. */
function isUnfinished({ machineFile, redo }: MachinePaths): boolean {
  return !fs.existsSync(machineFile) && (!fs.existsSync(redo) || fs.readdirSync(redo).length === 0);
}

function tryName(machineFile: string): string | null {
  try {
    return readMachineFile(machineFile).name;
  } catch {
    return null; // damaged: the error that is reported says so
  }
}

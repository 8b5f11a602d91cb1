// What can be rescued from a directory: every machine in it, its points, and what is missing or damaged.
import fs from 'node:fs';
import { join } from 'node:path';
import { formatTime } from '../../../core/clock.ts';
import { errnoOf, HomewardError, toHomewardError } from '../../../core/errors.ts';
import { microseconds } from '../../../core/units.ts';
import type { Moment } from '../../control/service.ts';
import { latestLsn } from './rescue-moments.ts';
import { RescuedMachine } from './rescued-machine.ts';
import { findMissing, listHistory } from '../verify-inventory.ts';

export interface RescuableDisk {
  name: string;
  size: number;
  /** Why its replica cannot be read, or null: then what nobody wrote in the window is there. */
  replicaMissing: string | null;
}

export interface Rescuable {
  machine: string | null;
  id: string;
  disks: RescuableDisk[];
  /** Every moment in it can be recovered; null while there is no point. */
  window: { from: Moment; to: Moment } | null;
  latest: Moment | null;
  kept: Moment[];
  tags: { lsn: number; time: string; name: string }[];
  gaps: { from: number; to: number | null; reason: string }[];
  /** In words, with the file. Content is checked as it is read. */
  damaged: { file: string; fromLsn: number; toLsn: number; what: string }[];
}

/** Directories of machines in a retention volume. Throws 'no-such-file', 'not-a-volume'. */
export function rescuableIds(retention: string): string[] {
  const ids = listDirectory(retention).filter((name) =>
    ['machine.json', 'machine.json.previous', 'redo'].some((file) =>
      fs.existsSync(join(retention, name, file)),
    ),
  );
  if (ids.length === 0)
    throw new HomewardError('not-a-volume', `${retention} holds no machine`, {
      hint: 'Give the directory that the master target has as its retention volume: one directory a machine.',
    });
  return ids.sort();
}

/** What is known of one machine; one that cannot be opened says why. */
export function describeRescuable(retention: string, id: string, replicas: string | null): Rescuable {
  let machine: RescuedMachine;
  try {
    machine = new RescuedMachine(retention, id, replicas);
  } catch (error) {
    const { code, message } = toHomewardError(error);
    const damaged = [{ file: join(retention, id), fromLsn: 0, toLsn: 0, what: `${message} (${code})` }];
    const nothing = { disks: [], window: null, latest: null, kept: [], tags: [], gaps: [] };
    return { machine: null, id, ...nothing, damaged };
  }
  try {
    return describe(machine);
  } finally {
    machine.close();
  }
}

function describe(machine: RescuedMachine): Rescuable {
  const { catalogue, kept, denseLsn } = machine;
  const moment = (lsn: number): Moment => ({ lsn, time: spell(machine.timeOf(lsn)) });
  const latest = latestLsn(machine);
  return {
    machine: machine.name,
    id: machine.id,
    disks: machine.disks.map(({ name, size, missing }) => ({ name, size, replicaMissing: missing })),
    window: denseLsn === null ? null : { from: moment(denseLsn), to: moment(machine.durableLsn) },
    latest: latest === null ? null : moment(latest),
    kept: kept.map(({ lsn, time }) => ({ lsn, time: spell(time) })),
    tags: [
      ...kept.flatMap(({ lsn, time, tag }) => (tag === null ? [] : [{ lsn, time, name: tag.name }])),
      ...catalogue.tags.filter(({ lsn }) => denseLsn !== null && lsn >= denseLsn),
    ].map(({ lsn, time, name }) => ({ lsn, time: spell(time) ?? '', name })),
    gaps: catalogue.gaps.map(({ from, to, reason }) => ({ from, to, reason })),
    damaged: damageOf(machine),
  };
}

/** What shows without reading all content: missing files, torn ones, lost records. */
function damageOf(machine: RescuedMachine): Rescuable['damaged'] {
  const { paths, catalogue, holes, fileDamage, cursorDamage, ledger } = machine;
  const missing = findMissing({
    directory: paths.directory,
    found: listHistory(paths.directory),
    expected: ledger.files,
    redo: [],
    undo: [],
    replicas: [],
    holes,
  });
  const here = { fromLsn: 0, toLsn: 0 };
  return [
    ...(fileDamage === null ? [] : [{ file: paths.machineFile, ...here, what: fileDamage }]),
    ...(cursorDamage === null ? [] : [{ file: paths.cursorFile, ...here, what: cursorDamage }]),
    ...(ledger.cut === null ? [] : [{ file: paths.ledger, ...here, what: ledger.cut }]),
    ...missing.map(({ file, from, to, what }) => ({ file, fromLsn: from, toLsn: to, what })),
    ...catalogue.lost.map(({ from, to, file }) => ({
      file,
      ...{ fromLsn: from, toLsn: to, what: 'records are lost' },
    })),
  ];
}

function listDirectory(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    const why = errnoOf(error) === 'ENOTDIR' ? 'is a file, not a directory' : 'cannot be read';
    throw new HomewardError('no-such-file', `${directory} ${why}`, { cause: error });
  }
}

const spell = (time: number | null): string | null => (time === null ? null : formatTime(microseconds(time)));

// Compares what files of a history are there with those that must be: pure functions, and the look into the
// directories.
import fs from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../core/errors.ts';
import { isSpareFileName, parseSegmentFileName } from '../../core/segment-log/segment.ts';
import { matchFiles, type ExpectedFiles, type LedgerFile } from '../journal/ledger-files.ts';
import type { UndoHole } from '../replica/undo/undo-chain.ts';
import { parseUndoFileName } from '../replica/undo/undo-names.ts';
import type { Finding } from './verify-finding.ts';

/** A file in `redo` or `undo`, by its path below the machine's directory. */
export interface FoundFile {
  file: string;
  /** `device:inode`, which names it apart from its name. */
  inode: string;
}

/** A file as it was opened. */
export interface OpenFile {
  /** Absolute. */
  path: string;
  fd: number;
  /** LSNs: first and last of a redo segment. */
  from: number;
  to: number;
}

export interface Inventory {
  found: readonly FoundFile[];
  expected: ExpectedFiles;
  redo: readonly OpenFile[];
  /** `fd` where it is open just now, else null: what is opened later is checked by what it says of itself. */
  undo: readonly { path: string; fd: number | null; from: number; to: number }[];
  /** Files of our own; `from` and `to` are where the cursor stands. */
  replicas: readonly OpenFile[];
  holes: readonly UndoHole[];
  /** Absolute path of the machine's directory. */
  directory: string;
}

/** What lies in `redo` and `undo`. */
export function listHistory(directory: string): FoundFile[] {
  return ['redo', 'undo'].flatMap((room) =>
    tryList(join(directory, room))
      .map((name) => ({ file: `${room}/${name}`, inode: tryInode(join(directory, room, name)) }))
      .filter((one): one is FoundFile => one.inode !== null),
  );
}

/** Missing files, files under another's name, and places where steps do not join. */
export function findMissing(inventory: Inventory): Finding[] {
  const { found, expected, redo, directory } = inventory;
  const findings: Finding[] = [];
  const reported = new Set<string>();
  const add = (file: string, from: number, to: number, what: string): void => {
    if (reported.has(file)) return;
    reported.add(file);
    findings.push(findingOf(join(directory, file), from, to, what));
  };
  for (const { path, fd, from, to } of redo) {
    const file = path.slice(directory.length + 1);
    const there = found.find((one) => one.file === file);
    if (there === undefined) add(file, from, to, 'the file is missing');
    else if (there.inode !== inodeOf(fs.fstatSync(fd)))
      add(file, from, to, 'another file lies under this name');
  }
  for (const { path, fd, from, to } of inventory.undo) {
    const file = path.slice(directory.length + 1);
    const there = found.find((one) => one.file === file);
    if (fd !== null && there !== undefined && there.inode !== inodeOf(fs.fstatSync(fd)))
      add(file, from, to, 'another file lies under this name');
  }
  for (const { file, from, to } of matchFiles(expected, found).missing)
    add(file, from, to, 'the file is missing');
  return [...findings, ...findHoles(inventory, reported), ...findMissingReplicas(inventory)];
}

function findMissingReplicas({ replicas }: Inventory): Finding[] {
  return replicas.flatMap(({ path, fd, from, to }) => {
    const inode = tryInode(path);
    if (inode === inodeOf(fs.fstatSync(fd))) return [];
    const what = inode === null ? 'the file is missing' : 'another file lies under this name';
    return [{ ...findingOf(path, from, to, what), in: 'replica' as const }];
  });
}

/** Where undo does not join; a file that is missing there has been told of. */
function findHoles(inventory: Inventory, reported: ReadonlySet<string>): Finding[] {
  const { holes, directory } = inventory;
  const gone = [...reported].map((file) => parseUndoFileName(file.slice('undo/'.length)));
  return holes
    .filter(({ from, to }) => !gone.some((step) => step !== null && step.from < to && step.to > from))
    .flatMap(({ from, to, why }) => {
      const what = `there is no undo of these records: ${why}`;
      const files = filesInHole(inventory, { from, to });
      if (files.length === 0) return [findingOf(join(directory, 'undo'), from, to, what)];
      return files.map((one) => findingOf(join(directory, one.file), one.from, one.to, what));
    });
}

/** Files whose names say that they are of these records, and that were of no use. */
function filesInHole(
  { found, undo, directory }: Inventory,
  hole: { from: number; to: number },
): { file: string; from: number; to: number }[] {
  const used = new Set(undo.map(({ path }) => path.slice(directory.length + 1)));
  return found.flatMap(({ file }) => {
    const step = file.startsWith('undo/') ? parseUndoFileName(file.slice('undo/'.length)) : null;
    if (step === null || used.has(file) || step.from < hole.from || step.to > hole.to) return [];
    return [{ file, ...step }];
  });
}

/** Files that nobody put there: in no list of ours, and no line of the ledger speaks of them. */
export function findForeign({ found, expected, redo, undo, directory }: Inventory): Finding[] {
  const ours = new Set([...redo, ...undo].map(({ path }) => path.slice(directory.length + 1)));
  return matchFiles(expected, found)
    .unspoken.filter(({ file }) => !ours.has(file) && !isPassing(file))
    .map(({ file }) => {
      const { from, to } = placeOfName(file);
      return findingOf(join(directory, file), from, to, 'nothing of this history speaks of the file');
    });
}

/** Files under way, and files to be written over, come and go; what was set aside was told of then. */
function isPassing(file: string): boolean {
  const name = file.slice(file.indexOf('/') + 1);
  return name.endsWith('.new') || isSpareFileName(name) || /\.seg\.[a-z]+(-\d+)?$/.test(name);
}

function placeOfName(file: string): { from: number; to: number } {
  const name = file.slice(file.indexOf('/') + 1);
  const first = parseSegmentFileName(name);
  return parseUndoFileName(name) ?? { from: first ?? 0, to: first ?? 0 };
}

function findingOf(path: string, from: number, to: number, what: string): Finding {
  const place = { disk: null, start: null, end: null, fromTime: null, toTime: null };
  const isUndo = /\/undo(\/|$)/.test(path);
  return { in: isUndo ? 'undo' : 'redo', file: path, from, to, ...place, what };
}

function tryList(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function tryInode(path: string): string | null {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? null : inodeOf(stat);
}

const inodeOf = ({ dev, ino }: fs.Stats): string => `${dev}:${ino}`;

/** What the ledger knows of the content of a file, if it knows its hash. */
export function sealOf(known: LedgerFile | undefined): { bytes: number; hash: string } | null {
  return known === undefined || known.hash === null ? null : { bytes: known.bytes, hash: known.hash };
}

// One disk of a recovery: the file or device that it is written to, with the note that lets it go on later.
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { openFileStore } from '../../core/block/file-store.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { HomewardError } from '../../core/errors.ts';
import type { RecoverPlan } from '../control/service.ts';
import type { ByteRange } from './formats/disk-source.ts';
import type { ImageFormat } from './formats/stretch.ts';
import {
  isSameRecovery,
  noteSuffix,
  readNote,
  RecoveryNote,
  type NoteContent,
  type NoteIdentity,
} from './recovery-note.ts';
import { targetError } from './target-error.ts';
import { TargetFile } from './target-file.ts';

export type PlannedDisk = RecoverPlan['disks'][number];

export interface TargetOptions {
  disk: PlannedDisk;
  identity: NoteIdentity;
  /** The directory of devices' notes. */
  notes: string;
  /** What an earlier run has written does not count. */
  fresh: boolean;
}

/** `wwid` of a device; a file's note lies beside it, with a name that shows whose it is. */
export const notePath = ({ to, wwid }: Pick<PlannedDisk, 'to' | 'wwid'>, notes: string): string =>
  wwid === undefined ? to + noteSuffix : join(notes, encodeURIComponent(wwid) + noteSuffix);

export const imageFormat = (format: string): ImageFormat =>
  format === 'qcow2' || format === 'vmdk' ? format : 'raw';

/** Throws 'conflict' when the note is of another recovery, which nobody said may be given up. */
export function refuseOtherRecovery(found: NoteIdentity, wanted: NoteIdentity, to: string): void {
  if (isSameRecovery(found, wanted)) return;
  const same =
    found.machine === wanted.machine && found.disk === wanted.disk && found.format === wanted.format;
  const what = same ? `lsn:${found.lsn}` : `disk ${found.disk} of another machine`;
  throw new HomewardError('conflict', `a recovery of ${what} to ${to} was interrupted, and can go on`, {
    hint: `Give --at lsn:${found.lsn} with its machine to go on with it, or --fresh to begin anew.`,
  });
}

/** What an earlier run of the same recovery has done; null when there is nothing to go on with. */
export function findDone({ disk, identity, notes, fresh }: TargetOptions): NoteContent | null {
  const found = readNote(notePath(disk, notes));
  if (found === null || found === 'empty' || fresh) return null;
  refuseOtherRecovery(found.identity, identity, disk.to);
  return found;
}

interface OpenTarget {
  note: RecoveryNote;
  /** What counts of an earlier run. */
  content: NoteContent | null;
}

/** Makes directories where they are missing. What an earlier run has done counts, or is taken away. */
export function openTarget(options: TargetOptions): RecoveryTarget {
  const { disk, notes } = options;
  const isDevice = disk.wwid !== undefined;
  try {
    ensureDirectorySync(dirname(notePath(disk, notes)), isDevice ? 0o750 : 0o777);
    return isDevice ? openDevice(options) : openFile(options);
  } catch (error) {
    throw targetError(error, isDevice ? disk.to : dirname(disk.to));
  }
}

function openFile(options: TargetOptions): RecoveryTarget {
  const { disk } = options;
  const earlier = openNote(options);
  if (earlier !== null) {
    const { content } = earlier;
    const file = tryReopen(disk.to, content);
    if (file !== null && content !== null && !options.fresh)
      return new RecoveryTarget(disk, earlier.note, file, content);
    if (file !== null) {
      file.dropPartial();
      file.close();
    }
    giveUp(earlier.note);
  }
  const name = TargetFile.hiddenName(disk.to);
  const note = RecoveryNote.create(notePath(disk, options.notes), options.identity, name);
  try {
    const file = TargetFile.create(disk.to, name);
    note.opened(file.inode);
    syncDirectorySync(dirname(disk.to));
    return new RecoveryTarget(disk, note, file, null);
  } catch (error) {
    giveUp(note);
    throw error;
  }
}

function openDevice(options: TargetOptions): RecoveryTarget {
  const { disk } = options;
  const { fd } = openFileStore(disk.to);
  try {
    const earlier = openNote(options);
    if (earlier !== null && earlier.content !== null && !options.fresh)
      return new RecoveryTarget(disk, earlier.note, fd, earlier.content);
    if (earlier !== null) giveUp(earlier.note);
    const note = RecoveryNote.create(notePath(disk, options.notes), options.identity, null);
    return new RecoveryTarget(disk, note, fd, null);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** The note that is there, ours by its lock; null when there is none. */
function openNote({ disk, identity, notes, fresh }: TargetOptions): OpenTarget | null {
  const path = notePath(disk, notes);
  if (readNote(path) === null) return null;
  const { note, content } = RecoveryNote.reopen(path);
  if (content === 'empty') return { note, content: null };
  try {
    if (!fresh) refuseOtherRecovery(content.identity, identity, disk.to);
    return { note, content };
  } catch (error) {
    note.close();
    throw error;
  }
}

function tryReopen(to: string, content: NoteContent | null): TargetFile | null {
  const { file = null, inode = null } = content ?? {};
  return file === null || inode === null ? null : TargetFile.tryReopen(to, file, inode);
}

function giveUp(note: RecoveryNote): void {
  note.remove();
  note.close();
}

/** Until `close`, the note is locked, and a device claimed. */
export class RecoveryTarget {
  readonly disk: PlannedDisk;
  readonly note: RecoveryNote;
  readonly fd: number;
  /** Null for a device. */
  readonly file: TargetFile | null;
  /** What an earlier run has written, by stretch, and what was damaged in it. */
  readonly done: ReadonlyMap<number, readonly number[]>;
  readonly damaged: readonly ByteRange[];

  constructor(
    disk: PlannedDisk,
    note: RecoveryNote,
    output: TargetFile | number,
    content: NoteContent | null,
  ) {
    this.disk = disk;
    this.note = note;
    this.file = typeof output === 'number' ? null : output;
    this.fd = typeof output === 'number' ? output : output.fd;
    this.done = content?.done ?? new Map<number, number[]>();
    this.damaged = content?.damaged ?? [];
  }

  /** Takes back what it made; gives back why that failed, or null. A device stays as it is. */
  tryDiscard(): string | null {
    const why = this.file?.tryDiscard() ?? null;
    if (why === null) this.note.remove();
    return why;
  }

  close(): void {
    fs.closeSync(this.fd);
    this.note.close();
  }
}

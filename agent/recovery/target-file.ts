// A file of a recovery: written under a name that no other run has, and published under its own once it is
// whole.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { targetError } from './target-error.ts';

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
const fileMode = 0o640;

/** It removes only what it made itself: before a name goes, the file behind it is compared with ours. */
export class TargetFile {
  readonly path: string;
  /** Hidden, beside `path`, so that a link is enough to publish it. */
  readonly partial: string;
  readonly fd: number;

  private constructor(path: string, partial: string, fd: number) {
    this.path = path;
    this.partial = partial;
    this.fd = fd;
  }

  /** `name` is a name of ours, in the directory of `path`, which is there. */
  static create(path: string, name: string): TargetFile {
    const partial = join(dirname(path), name);
    try {
      return new TargetFile(path, partial, fs.openSync(partial, O_RDWR | O_CREAT | O_EXCL, fileMode));
    } catch (error) {
      throw targetError(error, dirname(path));
    }
  }

  /** One that an interrupted run has made; null when it is gone, or when another lies there. */
  static tryReopen(path: string, name: string, inode: string): TargetFile | null {
    const partial = join(dirname(path), name);
    let fd: number;
    try {
      fd = fs.openSync(partial, O_RDWR | O_NOFOLLOW);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ELOOP') return null;
      throw targetError(error, dirname(path));
    }
    const file = new TargetFile(path, partial, fd);
    if (file.inode === inode && fs.fstatSync(fd).isFile()) return file;
    file.close();
    return null;
  }

  /** A name that nobody else has. */
  static hiddenName(path: string): string {
    return `.${basename(path)}.${randomBytes(8).toString('hex')}.partial`;
  }

  get inode(): string {
    return String(fs.fstatSync(this.fd, { bigint: true }).ino);
  }

  /** The name is taken only now, and only when nobody has it: link(2) never replaces. */
  link(): void {
    if (!this.#isOurs(this.partial))
      throw new HomewardError('conflict', `${this.partial} was replaced meanwhile`);
    try {
      fs.linkSync(this.partial, this.path);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST')
        throw new HomewardError('exists', `${this.path} has come into being meanwhile`, { cause: error });
      if (['EPERM', 'ENOTSUP', 'ENOSYS'].includes(errnoOf(error) ?? ''))
        throw new HomewardError('bad-target', `${dirname(this.path)} takes no hard links`, {
          cause: error,
          hint: 'Choose a directory on a file system that has them, such as ext4 or XFS.',
        });
      throw targetError(error, dirname(this.path));
    }
  }

  dropPartial(): void {
    if (this.#isOurs(this.partial)) fs.unlinkSync(this.partial);
  }

  /** Takes back both names; gives back why that failed, or null. */
  tryDiscard(): string | null {
    try {
      this.dropPartial();
      if (this.#isOurs(this.path)) fs.unlinkSync(this.path);
      return null;
    } catch (error) {
      return `${this.partial} could not be removed (${errnoOf(error) ?? String(error)})`;
    }
  }

  close(): void {
    fs.closeSync(this.fd);
  }

  #isOurs(path: string): boolean {
    const found = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
    const ours = fs.fstatSync(this.fd, { bigint: true });
    return found !== undefined && found.ino === ours.ino && found.dev === ours.dev;
  }
}

/**
 * For files that are complete and synced: all of them get their names, or none does. Crash order: 1 linked ·
 * 2 directories synced · 3 partial names removed. A crash before 3 leaves hidden names, nothing half.
 */
export function publish(files: readonly TargetFile[]): void {
  for (const file of files) file.link();
  const directories = new Set(files.map(({ path }) => dirname(path)));
  for (const directory of directories) syncDirectorySync(directory);
  for (const file of files) file.dropPartial();
}

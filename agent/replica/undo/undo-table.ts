// Writes the derived table of an undo segment while that is made; no failure of it counts.
import { dirname } from 'node:path';
import { errnoOf } from '../../../core/errors.ts';
import type { ContentKind } from '../../../core/extents/extent-columns.ts';
import { TableFileWriter } from '../../../core/extents/table-file-writer.ts';
import type { TableSource } from '../../../core/extents/table-file.ts';
import type { Files } from '../../../core/files/files.ts';
import { splitPosition } from './undo-names.ts';

interface Begun {
  fd: number;
  writer: TableFileWriter;
}

/**
 * A volume that is full or fails ends the table, not the segment: readers make one of the segment then. The
 * file has its name only when it is complete.
 */
export class UndoTableWriter {
  readonly #files: Files;
  readonly #path: string | null;
  #begun: Begun | null = null;

  /** Without a path nothing is written. */
  constructor(files: Files, path: string | null, source: TableSource) {
    this.#files = files;
    this.#path = path;
    if (path === null) return;
    this.#try(() => {
      files.ensureDirectory(dirname(path));
      this.#removeTemporary();
      const fd = files.create(this.#temporary);
      this.#begun = { fd, writer: new TableFileWriter(files, fd, { sources: [source] }) };
    });
  }

  push(start: number, end: number, position: number, kind: ContentKind): void {
    if (this.#begun === null) return;
    const { low, high } = splitPosition(position);
    this.#try((begun) => begun?.writer.push(start, end, 0, low, high, kind));
  }

  /** Ends the file and names it. */
  finish(): void {
    this.#try((begun) => {
      if (begun === null || this.#path === null) return;
      begun.writer.finish();
      this.#begun = null;
      this.#files.close(begun.fd);
      this.#files.rename(this.#temporary, this.#path);
    });
  }

  /** Removes what there is of it. */
  abandon(): void {
    const begun = this.#begun;
    this.#begun = null;
    try {
      if (begun !== null) this.#files.close(begun.fd);
      if (this.#path !== null) this.#removeTemporary();
    } catch (error) {
      if (errnoOf(error) === null) throw error;
    }
  }

  get #temporary(): string {
    return `${this.#path}.new`;
  }

  #try(write: (begun: Begun | null) => void): void {
    try {
      write(this.#begun);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
      this.abandon();
    }
  }

  #removeTemporary(): void {
    try {
      this.#files.unlink(this.#temporary);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

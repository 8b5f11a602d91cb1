// The thread that copies disks of a view to raw files or block devices; it reports progress and ends.
import { parentPort, workerData } from 'node:worker_threads';
import { toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { writeFully } from '../../core/full-io.ts';
import { lentFileStore, type FileStore } from '../../core/block/file-store.ts';
import { limits } from '../../core/limits.ts';
import { ViewReader, type ViewContent } from '../replica/view-content.ts';

/** `fd` is open for writing, lent, and as large as the disk. A `blank` output reads as zeros already. */
export interface ExportJob {
  content: ViewContent;
  outputs: { disk: number; fd: number; blank: boolean }[];
}
export type ExportReply =
  | { progress: { done: number; disk: string } }
  | { result: { bytesWritten: number } }
  | { failed: { code: ErrorCode; message: string } };

/**
 * Two buffers in turn: one is written by the thread pool while the other is read into. The disk begins to
 * write early, so that little is left for the sync at the end.
 */
class OverlappedWriter {
  readonly store: FileStore;
  readonly #buffers = [
    Buffer.allocUnsafeSlow(limits.exportBufferBytes),
    Buffer.allocUnsafeSlow(limits.exportBufferBytes),
  ];
  #turn = 0;
  #writing: Promise<void> = Promise.resolve();
  #flushing: Promise<void> | null = null;
  #unflushedBytes = 0;

  constructor(fd: number) {
    this.store = lentFileStore(fd);
  }

  /** The buffer that is not being written, at most `most` bytes of it. */
  free(most: number): Buffer {
    this.#turn = 1 - this.#turn;
    return (this.#buffers[this.#turn] ?? Buffer.alloc(0)).subarray(0, most);
  }

  /** Resolves when the write before has ended; this one goes on. */
  async write(piece: Buffer, offset: number): Promise<void> {
    await this.#writing;
    this.#writing = writeFully(this.store.fd, piece, offset);
    this.#writing.catch(() => undefined); // whoever awaits it next hears of it
    this.#unflushedBytes += piece.length;
    if (this.#unflushedBytes >= limits.exportFlushBytes) this.#flushBeside();
  }

  async finish(): Promise<void> {
    await this.#writing;
    await this.#flushing;
    await this.store.flush();
  }

  #flushBeside(): void {
    if (this.#flushing !== null) return;
    this.#unflushedBytes = 0;
    this.#flushing = this.store.flush().then(() => {
      this.#flushing = null;
    });
    this.#flushing.catch(() => undefined); // stays there as it is, for `finish` to hear of
  }
}

const say = (reply: ExportReply): void => parentPort?.postMessage(reply);

async function exportAll({ content, outputs }: ExportJob): Promise<number> {
  const reader = new ViewReader(content);
  let written = 0;
  let before = 0;
  for (const output of outputs) {
    const { name, size } = content.disks[output.disk] ?? { name: '', size: 0 };
    const target = new OverlappedWriter(output.fd);
    for (let offset = 0; offset < size; offset += limits.exportStretchBytes) {
      const length = Math.min(limits.exportStretchBytes, size - offset);
      written += await exportStretch(reader, output, target, offset, length);
      say({ progress: { done: before + offset + length, disk: name } });
    }
    await target.finish();
    before += size;
  }
  return written;
}

/** Writes what is data; holes stay holes in a blank output and are made in any other. */
async function exportStretch(
  reader: ViewReader,
  output: ExportJob['outputs'][number],
  target: OverlappedWriter,
  from: number,
  length: number,
): Promise<number> {
  let offset = from;
  let written = 0;
  for (const extent of reader.extents(output.disk, from, length)) {
    const end = offset + extent.length;
    if (extent.zero && !output.blank) await target.store.zero(offset, extent.length, { punch: true });
    while (offset < end && !extent.zero) {
      const piece = target.free(end - offset);
      reader.read(output.disk, offset, piece);
      await target.write(piece, offset);
      written += piece.length;
      offset += piece.length;
    }
    offset = end;
  }
  return written;
}

try {
  say({ result: { bytesWritten: await exportAll(workerData as ExportJob) } });
} catch (error) {
  const { code, message } = toHomewardError(error);
  say({ failed: { code, message } });
}

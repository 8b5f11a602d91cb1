// How large frames of records are: small until some have arrived, so that also connections that never last
// long carry the sequence on.
import { limits } from '../limits.ts';
import { decodeRecordHeader, recordHeaderBytes, type MachineMark } from '../record/record.ts';

/** Of one connection. */
export class FrameSize {
  #bytes: number = limits.chainFirstFrameBytes;

  /** What was sent has been acknowledged. */
  arrived(): void {
    if (this.#bytes < limits.chainFrameBytes) this.#bytes *= 2;
  }

  /** Whole records in each piece, which is no larger than frames are just now unless one record is. */
  pieces(run: Buffer, machine: MachineMark): Buffer[] {
    if (run.length <= this.#bytes) return [run];
    const pieces: Buffer[] = [];
    let start = 0;
    for (let at = 0; at < run.length;) {
      const header = decodeRecordHeader(run, at, machine);
      if (header === null) break; // whoever receives it finds it
      const end = at + recordHeaderBytes + header.payloadBytes;
      if (at > start && end - start > this.#bytes) {
        pieces.push(run.subarray(start, at));
        start = at;
      }
      at = end;
    }
    return [...pieces, run.subarray(start)];
  }
}

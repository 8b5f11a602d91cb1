// Reads everything that a machine keeps and compares it with its checksums: what is covered, what is damaged.
import fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HomewardError } from '../../core/errors.ts';
import { payloadFits } from '../../core/record/payload.ts';
import { recordHeaderBytes, type RecordHeader } from '../../core/record/record.ts';
import { dataBytesOf } from '../../core/segment-log/scan.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { OnProgress, VerifyReport, VerifyRequest } from '../control/service.ts';
import type { Journal } from '../journal/journal.ts';

export interface Verifiable {
  readonly name: string;
  readonly file: { disks: readonly { name: string }[] };
  readonly journal: Journal;
  readonly cursor: { lsn: number };
}

/** Bounded in time by `forMs`; part n of t looks at every t-th segment, so that t runs look at all. */
export async function verifyMachine(
  machine: Verifiable,
  request: VerifyRequest,
  progress: OnProgress,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { journal } = machine;
  await journal.commit();
  const wanted = journal.segments.filter(
    (segment) => isInPart(segment, request.part) && segment.lastLsn > machine.cursor.lsn,
  );
  const deadline = request.forMs === null ? Infinity : performance.now() + request.forMs;
  const run = new VerifyRun(machine);
  const total = wanted.reduce((sum, segment) => sum + segment.end, 0);
  for (const segment of wanted) segment.users += 1;
  try {
    for (const segment of wanted) {
      if (performance.now() >= deadline) break;
      if (signal.aborted)
        throw new HomewardError('interrupted', 'the verification was interrupted', {
          hint: 'Run it again; --for and --part bound it.',
        });
      run.look(segment);
      progress({ done: run.bytes, total, what: machine.name });
      await nextTurn(); // ingest goes first
    }
  } finally {
    for (const segment of wanted) segment.users -= 1;
  }
  return run.report(wanted, request.part === null);
}

class VerifyRun {
  bytes = 0;
  readonly #machine: Verifiable;
  readonly #damaged: VerifyReport['damaged'] = [];
  readonly #looked: Segment[] = [];
  #records = 0;

  constructor(machine: Verifiable) {
    this.#machine = machine;
    for (const { file, from, to } of machine.journal.catalogue.lost) this.#addLost(file, from, to);
  }

  look(segment: Segment): void {
    this.bytes += segment.end;
    this.#looked.push(segment);
    if (!fs.existsSync(segment.path))
      this.#lost(segment.path, segment.firstLsn, segment.lastLsn, 'the file is missing');
    this.#machine.journal.visit(segment, {
      record: (header, position, content) => {
        this.#records += 1;
        const start = position + recordHeaderBytes;
        const payload = content.subarray(start, start + header.payloadBytes);
        if (!payloadFits(payload, header.payloadCrc, dataBytesOf(header))) this.#rotten(segment, header);
      },
      lost: (lost) => {
        const known = this.#damaged.some(({ fromLsn, toLsn }) => fromLsn === lost.from && toLsn === lost.to);
        if (!known) this.#lost(segment.path, lost.from, lost.to);
      },
    });
  }

  report(wanted: readonly Segment[], isWhole: boolean): VerifyReport {
    const complete = this.#looked.length === wanted.length;
    if (complete && isWhole) this.#machine.journal.catalogue.keepDamage(this.#damaged);
    return {
      machine: this.#machine.name,
      ok: this.#damaged.length === 0,
      covered: {
        bytes: this.bytes,
        records: this.#records,
        complete,
        fromLsn: this.#looked[0]?.firstLsn ?? 0,
        toLsn: this.#looked.at(-1)?.lastLsn ?? 0,
      },
      damaged: this.#damaged,
    };
  }

  #rotten(segment: Segment, { lsn, disk, offset, length }: RecordHeader): void {
    const place = {
      disk: this.#machine.file.disks[disk]?.name ?? null,
      start: offset,
      end: offset + length,
      fromLsn: lsn,
      toLsn: lsn,
      file: segment.path,
    };
    this.#machine.journal.noteDamage(place);
    this.#damaged.push({ ...place, what: 'content does not fit its checksum' });
  }

  #lost(file: string, fromLsn: number, toLsn: number, what?: string): void {
    this.#machine.journal.noteDamage({ file, fromLsn, toLsn, disk: null, start: null, end: null });
    this.#addLost(file, fromLsn, toLsn, what);
  }

  #addLost(
    file: string,
    fromLsn: number,
    toLsn: number,
    what = 'records are lost: their extents are not known',
  ): void {
    this.#damaged.push({ disk: null, start: null, end: null, fromLsn, toLsn, file, what });
  }
}

function isInPart(segment: Segment, part: VerifyRequest['part']): boolean {
  return part === null || segment.ordinal % part.of === part.n - 1;
}

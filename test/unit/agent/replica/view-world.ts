// A machine on simulated files as views of it read: redo, undo and a replica, made by hand.
import { crc32 } from 'node:zlib';
import {
  firstUndoOrdinal,
  type ViewContent,
  type ViewPlan,
  type ViewSegment,
} from '../../../../agent/replica/view-content.ts';
import type { LayerSource } from '../../../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../../../agent/replica/undo/undo-writer.ts';
import { ContentKind } from '../../../../core/extents/extent-columns.ts';
import { checkPayload } from '../../../../core/record/payload.ts';
import {
  encodeRecordHeader,
  machineMark,
  RecordKind,
  recordHeaderBytes,
} from '../../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

export const block = 4096;
export const size = 8 * block;
export const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const mark = machineMark(machine);
export const fill = (value: number, blocks = 1): Buffer => Buffer.alloc(blocks * block, value);

interface Write {
  lsn: number;
  block: number;
  value: number;
}

/** Files of a machine whose replica has block n filled with 100 + n. */
export class World {
  readonly files = new SimulatedFiles({ directories: ['/m/redo', '/m/undo', '/m/derived'] });
  readonly replica: number;

  constructor() {
    this.replica = this.files.create('/m/replica');
    for (let at = 0; at < 8; at++) this.files.write(this.replica, [fill(100 + at)], at * block);
  }

  /** One group of writes of a block each. */
  redo(ordinal: number, writes: readonly Write[]): ViewSegment {
    const path = `/m/redo/${ordinal}.seg`;
    const firstLsn = writes[0]!.lsn;
    const headers: Buffer[] = [];
    const body: Buffer[] = [];
    for (const { lsn, block: at, value } of writes) {
      const data = fill(value);
      const header = Buffer.alloc(recordHeaderBytes);
      encodeRecordHeader(
        header,
        0,
        {
          kind: RecordKind.write,
          flags: 0,
          disk: 0,
          lsn,
          offset: at * block,
          length: block,
          time: lsn,
          generation: 1,
          payloadBytes: block,
          payloadCrc: checkPayload(data).crc,
        },
        mark,
      );
      headers.push(header);
      body.push(header, data);
    }
    const frame = Buffer.alloc(groupHeaderBytes);
    const bodyBytes = body.reduce((sum, { length }) => sum + length, 0);
    encodeGroupHeader(frame, {
      machine,
      identity: Buffer.alloc(16, ordinal + 1),
      firstLsn,
      previousDurable: firstLsn - 1,
      arrival: 1,
      position: 0,
      records: writes.length,
      bodyBytes,
      headersCrc: crc32(Buffer.concat(headers)),
      skippedFrom: 0,
    });
    const fd = this.files.create(path);
    this.files.write(fd, [frame, ...body], 0);
    const end = groupHeaderBytes + bodyBytes;
    const lastLsn = writes.at(-1)!.lsn;
    return { ordinal, fd, path, firstLsn, precededBy: firstLsn - 1, lastLsn, end };
  }

  /** The old content of some blocks, or of as much of each: a value, null for zeros, 'unknown'. */
  async undo(
    n: number,
    from: number,
    to: number,
    old: readonly [number, number | null | 'unknown'][],
    length = block,
  ): Promise<{ segment: ViewSegment; table: Extract<LayerSource, { kind: 'file' }> }> {
    const path = `/m/undo/${n}.seg`;
    const tablePath = `/m/derived/${n}.table`;
    const note = { from, to, fromTime: 1, toTime: 2, tag: null, point: true };
    const writer = UndoWriter.begin(this.files, { path, machine, generation: 1, note, tablePath });
    for (const [at, value] of old) {
      if (value === null) writer.add(0, at * block, length, ContentKind.zero, null);
      else if (value === 'unknown') writer.add(0, at * block, length, ContentKind.unknown, null);
      else
        writer.add(0, at * block, length, ContentKind.data, (target) => {
          target.fill(value);
        });
    }
    const { bytes } = await writer.finish();
    const ordinal = firstUndoOrdinal + n;
    const fd = this.files.open(path);
    const segment = { ordinal, fd, path, firstLsn: from, precededBy: from, lastLsn: to, end: bytes };
    const table = {
      kind: 'file',
      path: tablePath,
      fd: this.files.open(tablePath),
      ordinals: [ordinal],
    } as const;
    return { segment, table: { ...table, ordinals: [...table.ordinals] } };
  }

  content(lsn: number, plan: Partial<ViewPlan>, sums: string | null = null): ViewContent {
    return {
      mark,
      machine,
      lsn,
      disks: [{ name: 'root', size, fd: this.replica, sparse: true, sums }],
      plan: {
        counter: 0,
        redo: [],
        floor: { segment: 0, lsnDelta: -1 },
        undo: [],
        segments: [],
        unknown: [],
        ...plan,
      },
      live: null,
    };
  }
}

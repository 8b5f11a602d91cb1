// Reads views whose records overlap at random, some of them rotten, in pieces of any size: every byte is the
// newest record's, and exactly the check blocks that are rotten are refused.
import { crc32 } from 'node:zlib';
import t from 'tap';
import { DiskSource } from '../../../../agent/recovery/formats/disk-source.ts';
import type { ViewContent } from '../../../../agent/replica/view-content.ts';
import { ViewReader } from '../../../../agent/replica/view-reader.ts';
import { limits } from '../../../../core/limits.ts';
import { encodeRecord, recordBytes } from '../../../../core/record/record-run.ts';
import { machineMark, RecordKind, recordHeaderBytes } from '../../../../core/record/record.ts';
import { checkTableBytes } from '../../../../core/record/payload.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { chooseSeed, seededRandom, type Random } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

const sector = limits.diskSectorBytes;
const size = 3 * MiB;
const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const mark = machineMark(machine);

interface Placed {
  offset: number;
  length: number;
  /** Of its header in the file. */
  at: number;
}

/** A disk that was written from end to end, in pieces, and then here and there: records and content. */
class World {
  readonly files = new SimulatedFiles({ directories: ['/m'] });
  readonly disk = Buffer.alloc(size);
  /** By sector, the newest record; null where nothing was written. */
  readonly newest: (Placed | null)[] = Array.from({ length: size / sector }, () => null);
  readonly records: Placed[] = [];
  readonly content: ViewContent;
  readonly fd: number;
  readonly #body: Buffer[] = [];
  readonly #headers: Buffer[] = [];
  readonly #random: Random;
  #end = groupHeaderBytes;

  constructor(random: Random) {
    this.#random = random;
    const step = random.pick([4 * KiB, 64 * KiB, 256 * KiB, MiB]);
    for (let at = 0; at < size; at += step) this.#write(at, step);
    for (let count = random.below(150); count > 0; count--) {
      const most = random.below(6) === 0 ? 300 * KiB : 8 * KiB;
      const length = (1 + random.below(most / sector)) * sector;
      this.#write(random.below((size - length) / sector) * sector, length);
    }
    this.fd = this.files.create('/m/1.seg');
    const replica = this.files.create('/m/replica');
    this.files.allocate(replica, size);
    const frame = Buffer.alloc(groupHeaderBytes);
    encodeGroupHeader(frame, {
      ...{ machine, identity: Buffer.alloc(16, 1), firstLsn: 1, previousDurable: 0, arrival: 1, position: 0 },
      ...{ records: this.records.length, bodyBytes: this.#end - groupHeaderBytes, skippedFrom: 0 },
      headersCrc: crc32(Buffer.concat(this.#headers)),
    });
    this.files.write(this.fd, [frame, ...this.#body], 0);
    const lsn = this.records.length;
    const place = { ordinal: 1, fd: this.fd, path: '/m/1.seg', firstLsn: 1, precededBy: 0, lastLsn: lsn };
    this.content = {
      ...{ mark, machine, lsn, live: null },
      disks: [{ name: 'root', size, fd: replica, sparse: true, sums: null }],
      plan: {
        ...{ counter: 0, undo: [], unknown: [], floor: { segment: 0, lsnDelta: -1 } },
        redo: [{ kind: 'redo-scan', ordinal: 1, afterLsn: 0, lsn }],
        segments: [{ ...place, end: this.#end }],
      },
    };
  }

  /** A byte of the data of a record becomes another; gives back which. */
  rot(record: Placed): number {
    const at = this.#random.below(record.length);
    const position = record.at + recordHeaderBytes + checkTableBytes(record.length) + at;
    const byte = Buffer.alloc(1);
    this.files.readSync(this.fd, byte, position);
    this.files.write(this.fd, [Buffer.from([byte[0]! ^ 1])], position);
    return at;
  }

  #write(offset: number, length: number): void {
    const data = Buffer.alloc(length, 1 + this.records.length);
    for (let at = 0; at < length; at += sector) data.writeUInt32LE(this.#random.below(2 ** 31), at);
    const record = { offset, length, at: this.#end };
    const bytes = Buffer.alloc(recordBytes(length));
    const lsn = this.records.push(record);
    const header = { kind: RecordKind.write, flags: 0, disk: 0, lsn, offset, length, time: lsn };
    encodeRecord(bytes, 0, { ...header, generation: 1 }, data, mark);
    this.#body.push(bytes);
    this.#headers.push(bytes.subarray(0, recordHeaderBytes));
    this.#end += bytes.length;
    data.copy(this.disk, offset);
    this.newest.fill(record, offset / sector, (offset + length) / sector);
  }
}

t.test('pieces of any size have the bytes of the newest records', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 12; round++) {
    const { content, files, disk } = new World(random);
    const reader = new ViewReader(content, { files });
    for (let count = 0; count < 60; count++) {
      const offset = random.below(size);
      const most = random.below(2) === 0 ? size : 70 * KiB;
      const target = Buffer.alloc(1 + random.below(Math.min(size - offset, most)));
      reader.read(0, offset, target);
      const isSame = target.equals(disk.subarray(offset, offset + target.length));
      t.ok(isSame, `round ${round}: ${target.length} bytes at ${offset}`);
    }
  }
});

t.test('rotten check blocks are refused, and nothing else is', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 12; round++) {
    const world = new World(random);
    const reader = new ViewReader(world.content, { files: world.files });
    reader.extents(0, 0, sector); // its table is made of what is sound yet
    const rotten = new Map<Placed, Set<number>>();
    for (let count = 0; count < 4; count++) {
      const record = random.pick(world.records);
      if (rotten.has(record) && record.length < MiB) continue;
      const at = world.rot(record);
      const blocks = rotten.get(record) ?? new Set();
      rotten.set(record, blocks.add(Math.floor(at / limits.checkBlockBytes)));
    }
    const disk = { index: 0, name: 'root', size };
    const source = new DiskSource({ reader, disk, allowDamaged: true });
    const target = Buffer.alloc(size);
    source.read(0, target);
    const damaged = new Set<number>();
    for (const [start, end] of source.takeDamaged())
      for (let at = start; at < end; at += sector) damaged.add(at / sector);
    const wrong: number[] = [];
    for (let at = 0; at < size / sector; at++) {
      const record = world.newest[at] ?? null;
      const block = Math.floor((at * sector - (record?.offset ?? 0)) / limits.checkBlockBytes);
      const isRotten = record !== null && (rotten.get(record)?.has(block) ?? false);
      const place = [at * sector, (at + 1) * sector] as const;
      const isSame = target.subarray(...place).equals(world.disk.subarray(...place));
      if (isRotten !== damaged.has(at) || isRotten === isSame) wrong.push(at);
    }
    t.same(wrong, [], `round ${round}: sectors that are taken for what they are not`);
  }
});

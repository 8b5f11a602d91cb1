// Measures the extent index alone: inserts, seals, look-ups over many tables, one large merge.
import { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import { LevelledIndex } from '../../core/extents/levelled-index.ts';
import { mergeTables } from '../../core/extents/merge.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { resolve } from '../../core/extents/resolve.ts';
import { createLog } from '../../core/log.ts';
import { KiB } from '../../core/units.ts';

const blockBytes = 4 * KiB;
const segmentExtents = 16_000;
const say = (line: string): void => void process.stdout.write(line + '\n');

let state = 1;
/** Numbers in [0, below), the same in every run. */
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

/** Processor seconds of this thread: what other work on the machine takes does not count. */
function seconds(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1e6;
}

function randomList(count: number, blocks: number): ExtentList {
  const list = new ExtentList(count);
  for (let at = 0; at < count; at++) {
    const start = random(blocks) * blockBytes;
    list.push(start, start + blockBytes, 0, at * 64, at, 1);
  }
  return list;
}

async function fill(count: number, blocks: number): Promise<LevelledIndex> {
  const merger = new BackgroundMerger(createLog());
  const index = new LevelledIndex({ merger, firstSegment: 0 });
  let sealing = 0;
  let worst = 0;
  const inserting = seconds(() => {
    for (let at = 0; at < count; at++) {
      const start = random(blocks) * blockBytes;
      index.insert(start, start + blockBytes, (at * 64) % 2 ** 32, at % segmentExtents, 1);
      if (at % segmentExtents !== segmentExtents - 1) continue;
      const took = seconds(() => void index.sealSegment());
      sealing += took;
      worst = Math.max(worst, took);
    }
  });
  const from = performance.now();
  await merger.idle();
  const waited = performance.now() - from;
  say(
    `insert ${count}: ${(((inserting - sealing) / count) * 1e6).toFixed(3)} us each; seals, small merges ` +
      `${((sealing / count) * 1e6).toFixed(3)} us each, longest ${(worst * 1000).toFixed(1)} ms; ` +
      `background ${waited.toFixed(0)} ms more; ${(index.bytes / count).toFixed(0)} bytes an extent`,
  );
  await merger.close();
  return index;
}

function lookUp(name: string, index: LevelledIndex, blocks: number, reads: number): void {
  const pieces = new Pieces();
  let found = 0;
  const head = seconds(() => {
    for (let at = 0; at < reads; at++) {
      const start = random(blocks) * blockBytes;
      if (index.resolveHead(start, start + blockBytes, pieces).columns[0]) found++;
    }
  });
  const tables = index.prefixTables(index.nextSegment - 1);
  const view = seconds(() => {
    for (let at = 0; at < reads; at++) {
      const start = random(blocks) * blockBytes;
      resolve(tables, start, start + blockBytes, pieces);
    }
  });
  const megabytes = seconds(() => {
    for (let at = 0; at < reads / 100; at++) {
      const start = random(blocks - 256) * blockBytes;
      resolve(tables, start, start + 256 * blockBytes, pieces);
    }
  });
  const rate = (took: number, count = reads): string => `${(count / took / 1000).toFixed(0)} k/s`;
  say(
    `${name}: head look-ups ${rate(head)} over ${index.headTables().length} tables, ` +
      `found ${((found / reads) * 100).toFixed(0)} %; view ${rate(view)} over ${tables.length}; ` +
      `1 MiB ${rate(megabytes, reads / 100)}`,
  );
}

for (const [count, blocks] of [
  [1_000_000, 5_000_000],
  [10_000_000, 25_000_000],
] as const) {
  const index = await fill(count, blocks);
  for (let warm = 0; warm < 2; warm++) lookUp(`${count} extents`, index, blocks, 500_000);
}

for (const [count, blocks] of [
  [50_000, 5_000_000],
  [500_000, 25_000_000],
] as const) {
  const tables = Array.from({ length: 20 }, () => buildTable(randomList(count, blocks)));
  const pieces = new Pieces();
  const reads = 500_000;
  for (let warm = 0; warm < 2; warm++) {
    const took = seconds(() => {
      for (let at = 0; at < reads; at++) {
        const start = random(blocks) * blockBytes;
        resolve(tables, start, start + blockBytes, pieces);
      }
    });
    say(`unmerged, 20 tables of ${count}: ${(reads / took / 1000).toFixed(0)} k look-ups/s`);
  }
}

const older = buildTable(randomList(1_000_000, 5_000_000));
let newer = older;
const list = randomList(1_000_000, 5_000_000);
const building = seconds(() => {
  newer = buildTable(list);
});
say(`build of 1 000 000: ${(building * 1000).toFixed(0)} ms`);
for (let run = 0; run < 3; run++) {
  const took = seconds(() => void mergeTables(older, newer));
  say(`merge of ${older.count} and ${newer.count}: ${(took * 1000).toFixed(0)} ms`);
}

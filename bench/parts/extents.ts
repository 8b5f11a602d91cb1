// Measures the extent index alone: inserts, seals, look-ups over many tables in memory and in files, merges.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import { LevelledIndex } from '../../core/extents/levelled-index.ts';
import { mergeTableFiles } from '../../core/extents/merge-pages.ts';
import { mergeTables } from '../../core/extents/merge.ts';
import { PagedTable } from '../../core/extents/paged-table.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { resolve } from '../../core/extents/resolve.ts';
import { writeTableFile } from '../../core/extents/table-file-writer.ts';
import { hostFiles } from '../../core/files/host-files.ts';
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

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'homeward-bench-'));
try {
  benchFiles(directory);
} finally {
  fs.rmSync(directory, { recursive: true });
}

/** Eight table files, look-ups over them, and their merge into one. */
function benchFiles(inDirectory: string): void {
  const blocks = 25_000_000;
  const paths = Array.from({ length: 8 }, (_, at) => path.join(inDirectory, `${at}.table`));
  const sources = [{ from: 0, to: 1, identity: '' }];
  let count = 0;
  const writing = seconds(() => {
    for (const file of paths) {
      const table = buildTable(randomList(500_000, blocks));
      count += table.count;
      writeTableFile(hostFiles, file, table, { sources }, () => 0);
    }
  });
  say(`table files of ${count} extents built and written: ${(writing * 1000).toFixed(0)} ms`);
  const fds = paths.map((file) => hostFiles.open(file));
  const reads = 50_000;
  const pieces = new Pieces();
  const lookUpFiles = (name: string, open: readonly number[]): void => {
    const tables = open.flatMap(
      (fd) => PagedTable.tryOpen(hostFiles, fd, (meta) => meta.sources.map(() => 0)) ?? [],
    );
    for (const near of [blocks, 1_000_000]) {
      const took = seconds(() => {
        for (let at = 0; at < reads; at++) {
          const start = random(near) * blockBytes;
          resolve(tables, start, start + blockBytes, pieces);
        }
      });
      say(`${name}: ${(reads / took / 1000).toFixed(0)} k look-ups/s within ${near} blocks`);
    }
  };
  lookUpFiles('8 table files', fds);
  const merged = path.join(inDirectory, 'merged.table');
  const merging = seconds(() => void mergeTableFiles(hostFiles, fds, merged));
  say(`merge of 8 table files: ${(merging * 1000).toFixed(0)} ms`);
  fds.push(hostFiles.open(merged));
  lookUpFiles('merged into one', fds.slice(-1));
  for (const fd of fds) hostFiles.close(fd);
}

// What the outbox says of itself when it cannot go on: since when changes are missing, and that it stopped.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Clock } from '../../../../core/clock.ts';
import { hostFiles } from '../../../../core/files/host-files.ts';
import { silentLog } from '../../../../core/log.ts';
import { RecordKind } from '../../../../core/record/record.ts';
import { KiB, microseconds, MiB } from '../../../../core/units.ts';
import { Numbering } from '../../../../mobility/outbox/numbering.ts';
import { Outbox } from '../../../../mobility/outbox/outbox.ts';
import { newSourceState, writeSourceFile } from '../../../../mobility/outbox/source-file.ts';
import { until } from '../../../support/homeward.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

class Site {
  now = 1_000_000;
  readonly file: string;
  readonly directory: string;
  readonly clock: Clock = { now: () => microseconds(this.now), monotonicMs: () => this.now / 1000 };

  constructor(t: Test) {
    this.directory = temporaryDirectory(t);
    this.file = path.join(this.directory, 'source.json');
  }

  async open(diskBytes: number): Promise<Outbox> {
    const state = newSourceState('shop', [{ name: 'root', size: MiB }]);
    writeSourceFile(this.file, state);
    const { file, clock } = this;
    const outbox = await Outbox.open({
      directory: path.join(this.directory, 'outbox'),
      numbering: new Numbering({ file, state, clock, log: silentLog }),
      files: hostFiles,
      clock,
      log: silentLog,
      memoryBytes: MiB,
      diskBytes,
    });
    outbox.allow(true);
    outbox.syncBegin({ reason: 'test', disks: [] });
    return outbox;
  }
}

function write(outbox: Outbox): number | null {
  const payload = Buffer.alloc(64 * KiB, 1);
  const place = { disk: 0, offset: 0, length: payload.length };
  return outbox.record({ kind: RecordKind.write, flags: 0, ...place, payload });
}

for (const diskBytes of [0, 4 * MiB])
  t.test(`what is dropped is missing since its first change, spilled (${diskBytes}) or not`, async (t) => {
    const site = new Site(t);
    const outbox = await site.open(diskBytes);
    t.teardown(() => outbox.close(false));
    outbox.acknowledged(outbox.headLsn, 0);
    site.now = 60_000_000;
    write(outbox);
    t.equal(outbox.headTime, 60_000_000, 'while it records that is now');
    site.now = 90_000_000;
    for (let n = 0; n < 8; n++) write(outbox);
    if (diskBytes > 0) {
      for (let n = 0; n < 6; n++) write(outbox);
      await until('records are on disk alone', () => outbox.held.next(2, null) === 'disk');
    }
    site.now = 120_000_000;
    outbox.giveUp('overflow');
    t.equal(outbox.headTime, 60_000_000);
    site.now = 150_000_000;
    t.equal(outbox.headTime, 60_000_000);
  });

t.test('an old copy is found again when that could not be written down', async (t) => {
  const site = new Site(t);
  const outbox = await site.open(0);
  t.teardown(() => outbox.close(false));
  const newer = { spooled: 5_000_000, target: 0, generation: 1 };
  fs.mkdirSync(`${site.file}.new`);
  t.throws(() => outbox.meet(newer));
  t.ok(outbox.recording);
  t.ok(outbox.headLsn < 5_000_000);
  fs.rmdirSync(`${site.file}.new`);
  t.equal(outbox.meet(newer), 'outdated');
  t.notOk(outbox.recording);
  t.equal(outbox.headLsn, 5_000_000);
});

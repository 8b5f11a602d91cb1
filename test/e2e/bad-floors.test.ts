// A retention volume that is too small for the floors of all machines: a new one is refused.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t from 'tap';
import { MasterTarget, until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { PullSite } from '../support/pull-site.ts';
import { mountInPlace } from '../support/volumes.ts';

const TiB = 2 ** 40;
const skip = skipUnless({ root: true, commands: ['mkfs.ext4'], files: ['/dev/loop-control'] });

t.test(
  'a machine whose floor does not fit is refused, and those that are there go on',
  { skip },
  async (t) => {
    const target = await MasterTarget.start(t, { SegmentBytes: '1M', RetentionReserveBytes: '0' });
    await target.ingest('large', ['root=1T']);
    t.equal(await target.stop(), 0);
    const retention = target.inData('retention');
    mountInPlace(t, retention, 64, () => target.kill());
    await target.restart();
    const before = fs.readdirSync(retention);
    const open = (name: string, size: string): string[] => {
      const listen = `unix:${target.inDirectory(`${name}.sock`)}`;
      return ['ingest', 'open', name, '--disk', `root=${size}`, '--listen', listen];
    };
    t.match(await target.refused(...open('small', '1M')), {
      status: 8,
      code: 'volume-too-small',
      message: /the floors of all machines with small, and the reserve, take .* GiB; the .* volume has \d+/,
    });
    t.same(fs.readdirSync(retention), before, 'nothing was made');
    t.match(await target.ask(...open('large', '1T')), { changed: false }, 'what is there is served');
    await target.ask('retention', 'large', '--floor', '1m');
    t.match(await target.ask(...open('small', '1M')), { changed: true });
    await until('the first look ahead', async () => {
      const { retention: report } = await target.client.status();
      return report.forecast !== undefined;
    });
    t.match((await target.client.status()).retention.forecast, {
      text: null,
      hours: 24,
      sustainedHours: null,
    });
  },
);

const { bsize, blocks } = fs.statfsSync(os.tmpdir());
const isLarge = bsize * blocks > 3.5 * TiB && 'the volume for temporary files is large enough for all';

t.test('so is an assignment, and status says it', { skip: isLarge }, async (t) => {
  const settings = { RETENTION_RESERVE_BYTES: '1T', FLOOR_HOURS: '52w' };
  const site = await PullSite.start(t, settings);
  site.assign('web', [{ name: 'root', size: TiB }], { windowMs: 364 * 24 * 3600_000 });
  await site.startTarget();
  await until('it to be refused', async () => (await site.status('web')).state === 'failed');
  t.match(await site.status('web'), { detail: /the floors of all machines with web.*\(volume-too-small\)/ });
  t.same(
    fs.readdirSync(path.join(site.data, 'retention')).filter((name) => name.length === 36),
    [],
    'nothing was made',
  );
});

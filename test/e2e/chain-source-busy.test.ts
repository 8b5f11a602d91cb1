// Heavy writers with overlapping writes in flight while a sync reads the same chunks: both ends are equal in
// the end.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { sameAtBothEnds, syncsOf } from '../support/chain-facts.ts';
import { ChainSite } from '../support/chain-site.ts';
import { nbdUri, run, runOk, until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(600_000);

const size = 24 * MiB;

/** Starts writing on `disk` with 32 in flight; the returned function ends that. */
async function load(socket: string, seed: number): Promise<{ oracle: Oracle; stop: () => Promise<boolean> }> {
  const oracle = new Oracle(0, size);
  const random = seededRandom(seed);
  const writer = await OracleWriter.connect(socket, 'disk', { oracle, random, window: 32, flush: 0.001 });
  let enough = false;
  const running = writer.write(() => enough);
  return {
    oracle,
    async stop() {
      enough = true;
      const whole = await running;
      if (whole) await writer.flush();
      if (whole) await writer.close();
      return whole;
    },
  };
}

t.test('during the first copy, and during a resync', { skip: skipUnless({ full: true }) }, async (t) => {
  const seed = chooseSeed(t);
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  const file = source.files.get('disk') ?? '';
  const first = await load(source.socket, seed);
  await site.protectOnly('web');
  await until('the first copy to end', () => typeof syncsOf(source)[0]?.dataBytes === 'number', 90_000);
  t.ok(await first.stop(), 'no write failed');
  t.same(
    first.oracle.compare(fs.readFileSync(file), first.oracle.changes.length),
    [],
    'the disk took their order',
  );
  await sameAtBothEnds(t, site, source);

  const second = await load(source.socket, seed + 1);
  await until('some writes', () => second.oracle.changes.length > 500);
  await source.process.kill();
  t.notOk(await second.stop(), 'the writer has met the crash');
  await source.process.start();
  const third = await load(source.socket, seed + 2);
  await until('the resync to end', () => typeof syncsOf(source)[1]?.dataBytes === 'number', 90_000);
  t.ok(await third.stop(), 'no write failed');
  t.match(syncsOf(source)[1], { reason: 'unclean stop' });
  await sameAtBothEnds(t, site, source);
});

t.test(
  'fio with 32 overlapping random writes in flight: what is recovered passes its verification',
  { skip: skipUnless({ full: true, commands: ['fio'] }) },
  async (t) => {
    const site = await ChainSite.start(t);
    const source = await site.source('web', [{ name: 'disk', size }]);
    const file = source.files.get('disk') ?? '';
    fs.writeFileSync(file, Buffer.alloc(size, 7));
    // Fewer blocks than writes in all, small and large mixed: they overlap.
    const overlapping = [
      '--rw=randwrite',
      '--bsrange=4k-256k',
      '--norandommap',
      '--iodepth=32',
      '--size=24m',
    ];
    const fio = (name: string, target: readonly string[], ...args: string[]): string[] => [
      `--name=${name}`,
      ...target,
      ...args,
    ];
    const front = ['--ioengine=nbd', `--uri=${nbdUri(source.socket, 'disk')}`];
    const heavy = run(
      'fio',
      fio('heavy', front, ...overlapping, '--time_based', '--runtime=12', '--randseed=3'),
      { cwd: site.directory },
    );
    await site.protectOnly('web');
    await until('the first copy to end', () => typeof syncsOf(source)[0]?.dataBytes === 'number', 90_000);
    const { status, err } = await heavy;
    t.equal(status, 0, err);
    await sameAtBothEnds(t, site, source);

    const checked = ['--rw=randwrite', '--bs=4k', '--size=16m', '--iodepth=32', '--verify=crc32c'];
    const state = ['--randseed=7', '--verify_fatal=1'];
    await runOk('fio', fio('checked', front, ...checked, ...state, '--do_verify=0'), { cwd: site.directory });
    await sameAtBothEnds(t, site, source);
    await site.ask('recover', 'web', '--at', 'latest', '--to', `raw:${site.at('recovered')}`);
    const image = ['--ioengine=psync', `--filename=${path.join(site.at('recovered'), 'disk.raw')}`];
    await runOk('fio', fio('checked', image, ...checked, ...state, '--verify_only'), { cwd: site.directory });
    t.pass('fio finds every block that it wrote');
  },
);

// Rot anywhere in a replica is found: where nobody ever wrote, and after checksums were removed or damaged.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { NbdErrno } from '../../core/nbd/export.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { limits } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';
import {
  diskName,
  hastySettings,
  HistorySite,
  machineName,
  socketOf,
  verified,
} from '../support/history-site.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { until } from '../support/homeward.ts';
import { sectorBytes } from '../support/oracle.ts';

t.setTimeout(240_000);

async function siteOf(t: Test): Promise<{ site: HistorySite; replica: string; sums: string }> {
  const site = await HistorySite.start(t, { ...hastySettings, WindowHours: '1h' });
  const replica = path.join(site.target.inData('replicas'), path.basename(site.directory), `${diskName}.raw`);
  return { site, replica, sums: path.join(site.directory, 'derived', 'sums-0') };
}

const sectorOf = (offset: number): number => offset / sectorBytes;

function rot(file: string, at: number): void {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, 'ROT', at);
  fs.closeSync(fd);
}

t.test('rot where nobody wrote is found, and neither shown nor made a part of history', async (t) => {
  const { site, replica } = await siteOf(t);
  const { target, oracle } = site;
  const writer = await site.writer();
  await writer.change(oracle.add('write', sectorOf(MiB), 8));
  await writer.flush();
  await site.applyAll();
  t.match((await verified(target)).covered.replica, { uncheckedBytes: 0 });
  await target.kill();
  rot(replica, 5 * MiB);
  await site.comeBack();
  const report = await verified(target);
  t.match(report, { ok: false, damaged: [{ in: 'replica', disk: diskName, start: 5 * MiB }] });
  const recover = ['recover', machineName, '--at', 'lsn:1', '--to', `raw:${target.inDirectory('out')}`];
  t.match(await target.refused(...recover), { code: 'damaged' });
  const again = await site.writer();
  await again.change(oracle.add('write', sectorOf(5 * MiB) + 1, 1));
  await again.flush();
  await site.applyAll();
  t.match(await target.refused(...recover), { code: 'damaged' }, 'undo has it as unknown');
});

t.test('rot is not shown while steps write elsewhere', async (t) => {
  const { site, replica } = await siteOf(t);
  const { target, oracle, random } = site;
  const writer = await site.writer();
  await writer.change(oracle.add('write', sectorOf(MiB), 64));
  await writer.flush();
  await site.applyAll();
  const view = await target.view(machineName, 'lsn:1');
  rot(replica, MiB + 100);
  const client = await NbdClient.open({ path: socketOf(view) }, diskName, { structured: false });
  t.teardown(() => client.socket.destroy());
  const applied = async (): Promise<number> => (await site.status()).appliedLsn;
  const first = await applied();
  const read = { refused: 0, shown: 0 };
  let isOver = false;
  const reading = (async () => {
    while (!isOver) {
      const { errno } = await client.ask(Command.read, MiB, 4096);
      read[errno === NbdErrno.EIO ? 'refused' : 'shown'] += 1;
    }
  })();
  while ((await applied()) < first + 2000) {
    for (let n = 0; n < 100; n++)
      await writer.change(oracle.add('write', sectorOf(2 * MiB) + 8 * random.below(256), 8));
    await writer.flush();
  }
  const recover = ['recover', machineName, '--at', 'lsn:1', '--to', `raw:${target.inDirectory('out')}`];
  t.match(await target.refused(...recover), { code: 'damaged' });
  isOver = true;
  await reading;
  t.equal(read.shown, 0);
  t.ok(read.refused > 20, `${read.refused} reads`);
});

t.test('what is known to be damaged stays known, until it is not damaged any more', async (t) => {
  const { site } = await siteOf(t);
  const { target, oracle } = site;
  const writer = await site.writer();
  await writer.change(oracle.add('write', sectorOf(MiB), 8));
  await writer.flush();
  await site.write(200);
  await target.kill();
  const redo = path.join(site.directory, 'redo');
  const [first = ''] = fs.readdirSync(redo).toSorted();
  const segment = path.join(redo, first);
  const sound = fs.readFileSync(segment);
  rot(segment, 1024); // in what the first change wrote
  await site.comeBack();
  t.match(await verified(target), { ok: false });
  const { detail } = await site.status();
  t.match(detail, /does not fit its checksum/);
  const list = path.join(site.directory, 'damage.json');
  await until('that to be on the disk', () => fs.existsSync(list));
  await target.kill();
  await target.restart();
  t.match(await site.status(), { state: 'damaged', detail }, 'after a kill');
  t.equal(await target.stop(), 0);
  await target.restart();
  t.match(await site.status(), { state: 'damaged', detail }, 'and after a stop');
  await target.kill();
  fs.writeFileSync(list, 'nothing of ours');
  await target.restart();
  t.match(await verified(target), { ok: false }, 'without the list it is found again');
  await until('that to be on the disk', () => fs.readFileSync(list, 'utf8').includes('homeward-damage'));
  await target.kill();
  fs.writeFileSync(segment, sound);
  await target.restart();
  t.match(await site.status(), { state: 'damaged', detail }, 'nobody has looked');
  t.match(await verified(target), { ok: true });
  t.match(await site.status(), { state: 'ok', detail: null });
  await until('the list to go', () => !fs.existsSync(list));
});

t.test('checksums that were removed or damaged are made again', async (t) => {
  const { site, replica, sums } = await siteOf(t);
  const { target } = site;
  await site.write(200);
  await site.applyAll();
  const complete = async (): Promise<boolean> => {
    const { replica: seen } = (await verified(target)).covered;
    return seen !== undefined && seen.uncheckedBytes === 0 && seen.bytes > 0;
  };
  t.ok(await complete());
  fs.rmSync(path.dirname(sums), { recursive: true });
  t.notOk(await complete(), 'what has no checksum is not said to be sound');
  await until('all sums to be there again', complete, 2 * limits.sumsLookMs);
  for (let at = 4096; at < fs.statSync(sums).size; at += 4096) rot(sums, at + 8);
  t.notOk(await complete(), 'nor what has none that can be read');
  await until('all sums to be there again', complete, 2 * limits.sumsLookMs);
  await target.kill();
  rot(replica, 3 * MiB);
  await site.comeBack();
  t.match(await verified(target), {
    ok: false,
    damaged: [{ in: 'replica', disk: diskName, start: 3 * MiB }],
  });
});

// `homeward all-in-one` as a newcomer uses it: one command, a source, and a machine that is protected and
// comes back.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { StatusReport } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { homeward, until } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.setTimeout(120_000);

const size = 8 * MiB;

t.test('one command is a whole site, also after kill -9', async (t) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const listen = ['--listen', '127.0.0.1:0', '--process-server-listen', '127.0.0.1:0'];
  const env = { HOME: directory };
  const site = new DaemonProcess({
    what: 'all-in-one',
    args: ['all-in-one', '--data', at('site'), ...listen, '--json'],
    env,
  });
  t.teardown(() => site.kill());
  await site.start();
  const { ready } = JSON.parse(site.ready) as { ready: { address: string; processServer: string } };
  site.args = [
    ...['all-in-one', '--data', at('site'), '--json', '--listen', ready.address],
    ...['--process-server-listen', ready.processServer],
  ];
  const ask = async <T>(...args: string[]): Promise<T> => {
    const { status, out, err } = await homeward([...args, '--operator', at('site/operator.json'), '--json']);
    if (status !== 0) throw new Error(`${args.join(' ')}: ${err}`);
    return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as T;
  };
  const { hosts } = await ask<{ hosts: { role: string; state: string }[] }>('hosts');
  const roles = hosts.map(({ role, state }) => `${role} ${state}`).sort();
  t.same(roles, ['master-target joined', 'process-server joined']);
  t.equal(fs.statSync(at('site/operator.json')).mode & 0o777, 0o600);
  fs.writeFileSync(at('disk.img'), Buffer.alloc(size));
  const source = sourceOf(directory, ready.address);
  t.teardown(() => source.kill());
  await source.start();
  // At once, as a script would: its first heartbeat may still be on its way.
  await ask('protect', 'web');
  const settled = (since = performance.now()): Promise<void> =>
    until('web to be ok', async () => {
      const asked = performance.now();
      const [web] = (await ask<StatusReport>('status')).machines;
      const { source: atSource = 1, processServer = 1 } = web?.backlog ?? {};
      const isOfNow = asked - (web?.rpoSeconds ?? Infinity) * 1000 > since;
      return isOfNow && web?.state === 'ok' && atSource + processServer === 0;
    });
  await settled();

  const random = seededRandom(chooseSeed(t));
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(at('web.sock'), 'sda', { oracle, random, window: 8 });
  await writer.writeMore(200);
  await site.kill();
  await writer.writeMore(200);
  await site.start();
  await writer.writeMore(100);
  await writer.close();
  await settled();
  await ask('tag', 'web', '--name', 'end');
  await ask('recover', 'web', '--at', 'tag:end', '--to', `raw:${at('back')}`);
  t.same(oracle.compare(fs.readFileSync(at('back/sda.raw')), 500), []);
  t.equal(await site.stop(), 0);
  t.equal(await source.stop(), 0);
});

/** The mobility service that a newcomer starts next. */
function sourceOf(directory: string, configServer: string): DaemonProcess {
  const at = (name: string): string => path.join(directory, name);
  return new DaemonProcess({
    what: 'the source',
    args: [
      ...['mobility', '--data', at('web'), '--machine', 'web', '--disk', `sda=${at('disk.img')}`],
      ...['--listen', `unix:${at('web.sock')}`, '--config-server', configServer],
      ...['--passphrase-file', at('site/config-server/passphrase'), '--json'],
    ],
    env: { HOME: directory },
  });
}

// Daemons that are told everything by `drscout.conf`, as the services of a host are.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { connectControl } from '../../agent/control/client.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { homeward } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function configured(t: Test, settings: Record<string, string>): { file: string; directory: string } {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'drscout.conf');
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value.replace('@', directory)}\n`);
  fs.writeFileSync(file, `[homeward]\n${lines.join('')}`);
  return { file, directory };
}

t.test('a master target without --data lies where the file says, and logs where it says', async (t) => {
  const { file, directory } = configured(t, {
    DataDirectory: '@/who',
    RetentionVolume: '@/retention',
    ReplicaDirectory: '@/datastore',
    LogFile: '@/mt.log',
  });
  const control = path.join(directory, 'control.sock');
  const daemon = new DaemonProcess({
    what: 'the master target',
    args: ['master-target', '--config', file, '--control', control],
  });
  t.teardown(() => daemon.kill());
  await daemon.start();
  const client = connectControl(control);
  t.same((await client.status()).machines, []);
  await client.close();
  t.equal(await daemon.stop(), 0);
  for (const place of ['retention', 'datastore'])
    t.ok(fs.existsSync(path.join(directory, place, 'homeward-volume.json')), place);
  t.ok(fs.existsSync(path.join(directory, 'who')));
  const log = fs.readFileSync(path.join(directory, 'mt.log'), 'utf8');
  t.match(log, /^\S+Z level=info event=started /m);
  t.match(log, / event=stopped\n$/);
});

t.test('one with a configuration server and no identity serves alone, and says why', async (t) => {
  const { file, directory } = configured(t, {
    DataDirectory: '@/who',
    ConfigServerAddress: '127.0.0.1',
    ConfigServerPort: '1',
  });
  const control = path.join(directory, 'control.sock');
  const args = ['master-target', '--config', file, '--control', control];
  const daemon = new DaemonProcess({ what: 'the master target', args });
  t.teardown(() => daemon.kill());
  await daemon.start();
  const client = connectControl(control);
  const { configServer } = await client.status();
  await client.close();
  t.match(configServer, { address: '127.0.0.1:1', hostId: null });
  t.match(daemon.lineOf('not-enrolled'), /this host has not enrolled yet/);
  t.equal(await daemon.stop(), 0);
});

t.test('what a file does not say and a daemon needs is a usage error', async (t) => {
  const { file } = configured(t, { DataDirectory: '@/who' });
  const plain = configured(t, { UseHttps: 'no' }).file;
  const served = configured(t, { DataDirectory: '@/who', ConfigServerAddress: 'cs.example' }).file;
  for (const [args, words] of [
    [['process-server', '--config', file], '--config-server is missing (usage)'],
    [['mobility', '--config', file], '--config-server is missing (usage)'],
    [['mobility', '--config', served], 'MachineDisks is empty: there is nothing to protect (bad-config)'],
    [['mobility', '--config', served, '--disk', 'a=/b'], '--machine is missing (usage)'],
    [['config-server'], '--data is missing (usage)'],
    [['all-in-one', '--config', plain], 'UseHttps cannot be "no"'],
  ] as const) {
    const { status, err } = await homeward(args);
    t.equal(status, 2, args.join(' '));
    t.match(err, words);
  }
});

t.test('systemd is told of the places of a file', async (t) => {
  const { file, directory } = configured(t, { RetentionVolume: '@/retention' });
  const units = path.join(directory, 'units');
  const shown = await homeward(['config', 'service', '--config', file]);
  t.equal(shown.status, 0, shown.err);
  t.match(shown.out, `RequiresMountsFor=${directory}/retention\n`);
  const place = path.join(units, 'homeward-master-target.service.d/retention.conf');
  for (const changed of [true, false]) {
    const args = ['config', 'service', '--config', file, '--write', '--units', units, '--json'];
    const { status, out } = await homeward(args);
    t.equal(status, 0);
    t.match(JSON.parse(out), { unit: 'homeward-master-target.service', file: place, changed });
  }
  t.equal(fs.readFileSync(place, 'utf8'), shown.out);
});

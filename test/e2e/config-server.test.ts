// The configuration server as a process: its one line, its files, killed and started again.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { DaemonProcess } from '../support/daemon-process.ts';
import { homeward } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.test('it says ready, outlives kill -9, locks its directory, and stops with 0', async (t) => {
  const home = temporaryDirectory(t);
  const data = path.join(home, 'cs');
  const env = { HOME: home };
  const args = ['config-server', '--data', data, '--listen', '127.0.0.1:0'];
  const server = new DaemonProcess({ what: 'the configuration server', args, env });
  t.teardown(() => server.kill());
  await server.start();
  t.match(
    server.ready,
    /^ready: configuration server at 127\.0\.0\.1:\d+, operator's file .*operator\.json$/,
  );
  const shown = await homeward(['passphrase', 'show'], { env });
  t.equal(shown.status, 0, shown.err);
  t.equal(shown.out, fs.readFileSync(path.join(data, 'passphrase'), 'utf8'));
  const second = await homeward([...args, '--json'], { env });
  t.equal(second.status, 5);
  t.match(second.err, /already-running/);
  const { fingerprint } = JSON.parse(fs.readFileSync(path.join(data, 'operator.json'), 'utf8')) as {
    fingerprint: string;
  };
  await server.kill();
  const gone = await homeward(['hosts', '--json'], { env });
  t.equal(gone.status, 7);
  t.match(gone.err, /connection-refused/);
  await server.start();
  const again = await homeward(['hosts', '--json', '--operator', path.join(data, 'operator.json')], { env });
  t.same(JSON.parse(again.out), { hosts: [] });
  t.match(fs.readFileSync(path.join(home, '.config/homeward/operator.json'), 'utf8'), fingerprint);
  t.equal(
    (await homeward(['passphrase', 'show'], { env })).out,
    shown.out,
    'the file at home was moved along',
  );
  t.equal(await server.stop(), 0);
  t.notMatch(server.log, new RegExp(shown.out.trim()));
});

t.test('an address that cannot be had is refused', async (t) => {
  const home = temporaryDirectory(t);
  for (const listen of ['nonsense', '127.0.0.1:70000', '192.0.2.1:8443']) {
    const args = ['config-server', '--data', path.join(home, 'cs'), '--listen', listen, '--json'];
    const { status, err } = await homeward(args, { env: { HOME: home } });
    t.equal(status, 2, listen);
    t.match(err, /"bad-listen"/, listen);
  }
});

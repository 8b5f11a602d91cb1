// A daemon under a service manager: what it says of itself is true.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import t from 'tap';
import { connectControl } from '../../agent/control/client.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { run, until } from '../support/homeward.ts';
import { notifySocket } from '../support/notify-socket.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const module = path.resolve(import.meta.dirname, '../../core/service-notify.ts');

t.test(
  'a master target is ready when its control socket answers, lives, and says that it stops',
  async (t) => {
    const data = path.join(temporaryDirectory(t), 'data');
    const control = path.join(data, 'control.sock');
    const manager = notifySocket(t);
    const daemon = new DaemonProcess({
      what: 'the master target',
      args: ['master-target', '--data', data],
      env: { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '200000' },
    });
    t.teardown(() => daemon.kill());
    const ended = daemon.launch();
    await until('it is ready', () => manager.hasHeard('READY=1'));
    const client = connectControl(control);
    t.same((await client.status()).machines, [], 'it answers at that moment');
    await client.close();

    const said = manager.heard();
    t.match(said[0], /^STATUS=starting\nEXTEND_TIMEOUT_USEC=\d+$/, 'first it asks for time');
    t.ok(manager.hasHeard(`STATUS=serving, control socket ${control}`));
    t.equal(said.filter((text) => text.includes('READY=1')).length, 1);
    t.notOk(manager.hasHeard('STOPPING=1'));

    const signs = (): number => manager.heard().filter((text) => text === 'WATCHDOG=1').length;
    const first = signs();
    await until('signs of life go on', () => signs() >= first + 3);

    process.kill(daemon.pid, 'SIGTERM');
    t.equal(await ended, 0);
    t.ok(manager.hasHeard('STOPPING=1'));
  },
);

t.test('a daemon that cannot start is never ready', async (t) => {
  const manager = notifySocket(t);
  const daemon = new DaemonProcess({
    what: 'the master target',
    args: ['master-target', '--data', '/dev/null/x'],
    env: { NOTIFY_SOCKET: manager.path },
  });
  t.not(await daemon.launch(), 0);
  t.ok(manager.hasHeard('STATUS=starting'));
  t.notOk(manager.hasHeard('READY=1'));
});

t.test('an event loop that hangs gives no sign of life', async (t) => {
  const manager = notifySocket(t);
  const script = `
    import { serviceNotifier } from ${JSON.stringify(module)};
    const service = serviceNotifier(process.env);
    setTimeout(() => {
      service.status('hanging');
      const end = performance.now() + 300;
      while (performance.now() < end);
      service.status('over');
      process.exit(0);
    }, 200);
  `;
  const env = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '20000' };
  const { status, err } = await run(process.execPath, ['--input-type=module', '--eval', script], { env });
  t.equal(status, 0, err);
  const said = manager.heard();
  const [from, to] = [said.indexOf('STATUS=hanging'), said.indexOf('STATUS=over')];
  t.ok(said.slice(0, from).includes('WATCHDOG=1'), 'before, there were some');
  t.same(said.slice(from, to), ['STATUS=hanging']);
});

t.test('a service manager that is busy hears everything in the end, in order', async (t) => {
  const manager = notifySocket(t, { busy: true });
  const script = `
    import { serviceNotifier } from ${JSON.stringify(module)};
    const service = serviceNotifier(process.env);
    for (let n = 0; n < 40; n++) service.status(String(n));
    service.ready('serving');
    process.stdin.resume().on('end', () => process.exit(0));
    console.log('said');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NOTIFY_SOCKET: manager.path },
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  await until('it is ready', () => manager.hasHeard('READY=1'));
  t.same(
    manager.heard().slice(1, -1),
    Array.from({ length: 40 }, (_, n) => `STATUS=${n}`),
  );
  child.stdin.end();
  t.same(await ended, [0, null]);
});

t.test(
  'a watchdog that is somebody else’s, and a service manager that has gone, disturb nobody',
  async (t) => {
    const manager = notifySocket(t);
    const script = `
    import { serviceNotifier } from ${JSON.stringify(module)};
    const service = serviceNotifier(process.env);
    setTimeout(() => { service.ready('  two\\nlines '); service.end(); }, 100);
  `;
    const args = ['--input-type=module', '--eval', script];
    const foreign = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' };
    t.equal((await run(process.execPath, args, { env: foreign })).status, 0);
    t.notOk(manager.hasHeard('WATCHDOG=1'));
    t.ok(manager.hasHeard('STATUS=two lines'), 'a status is one line');
    const gone = { NOTIFY_SOCKET: path.join(temporaryDirectory(t), 'gone') };
    const { status, err } = await run(process.execPath, args, { env: gone });
    t.equal(status, 0);
    t.equal(err.match(/event=service-not-notified/g)?.length, 1, 'it is said once');
  },
);

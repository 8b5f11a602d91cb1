// The command line against a daemon's control socket: what is asked, what is answered, in both forms.
import path from 'node:path';
import t, { type Test } from 'tap';
import { startControlServer } from '../../agent/control/server.ts';
import { run } from '../../cli/run.ts';
import { silentLog } from '../../core/log.ts';
import { capturedIo, type CapturedIo } from '../support/captured-io.ts';
import { stubService, stubStatus, type StubService } from '../support/stub-service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// What is typed without an offset is in the zone of the shell; this one is nine hours ahead all the year.
process.env['TZ'] = 'Asia/Tokyo';

interface Fixture {
  service: StubService;
  homeward(
    args: string,
    io?: CapturedIo,
  ): Promise<{ status: number; io: CapturedIo; out: string; err: string }>;
}

async function serve(t: Test): Promise<Fixture> {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const service = stubService();
  const server = await startControlServer({ path: socket, service, log: silentLog });
  t.teardown(() => server.close());
  return {
    service,
    async homeward(args, io = capturedIo()) {
      const status = await run([...args.split(' '), '--control', socket], io);
      return { status, io, out: io.out(), err: io.err() };
    },
  };
}

/** The error that stderr holds as one JSON document. */
function errorOf(err: string): { code: string; message: string; hint: string } {
  return (JSON.parse(err) as { error: { code: string; message: string; hint: string } }).error;
}

/** Runs a command that has to succeed, and gives what the service was asked for by it. */
function asker(t: Test, { homeward, service }: Fixture): (args: string) => Promise<unknown[]> {
  return async (args) => {
    const { status, err } = await homeward(args);
    t.equal(status, 0, `${args}: ${err}`);
    t.equal(service.calls.length, 1);
    return service.calls.splice(0)[0] ?? [];
  };
}

t.test('disks of an ingest are given in any order, with paths made absolute', async (t) => {
  const asked = asker(t, await serve(t));
  const two = 'ingest open web --disk root=1G --disk data=512@by/x --listen unix:w.sock --seeding';
  const root = { name: 'root', sizeBytes: 1024 ** 3 };
  const data = { name: 'data', sizeBytes: 512, device: '/somewhere/by/x' };
  const listen = 'unix:/somewhere/w.sock';
  t.same(await asked(two), ['openIngest', { machine: 'web', disks: [root, data], listen, seeding: true }]);
  const small = [
    { name: 'root', sizeBytes: 1024 },
    { name: 'data', sizeBytes: 2048 },
  ];
  const request = { machine: 'web', disks: small, listen: 'tcp:127.0.0.1:10809', seeding: false };
  for (const args of [
    '--disk root=1K data=2K web',
    'web --disk root=1K data=2K',
    'web --disk root=1K --disk data=2K',
  ]) {
    t.same(await asked(`ingest open ${args} --listen tcp:127.0.0.1:10809`), ['openIngest', request]);
  }
});

t.test(
  'each verb asks the service for what was typed, a time without an offset with that of the shell',
  async (t) => {
    const fixture = await serve(t);
    const asked = asker(t, fixture);
    t.same(await asked('ingest seeded web'), ['seeded', 'web']);
    t.same(await asked('ingest close web'), ['closeIngest', 'web']);
    t.same(await asked('tag web --name noon'), ['tag', 'web', 'noon']);
    t.same(await asked('status'), ['status']);
    t.same(await asked('points web'), ['points', 'web']);
    const view = {
      machine: 'web',
      at: '-15m',
      listen: 'unix:/somewhere/v',
      writable: false,
      leaseMs: 86_400_000,
    };
    t.same(await asked('view web --at -15m --listen unix:v --for 24h'), ['openView', view]);
    t.same(await asked('views'), ['listViews']);
    t.same(await asked('view close v1'), ['closeViews', { id: 'v1' }]);
    t.same(await asked('view close web --at tag:noon'), ['closeViews', { machine: 'web', at: 'tag:noon' }]);
    t.same(await asked('view close close --all'), ['closeViews', { machine: 'close', at: null }]);
    const verify = { machine: 'web', part: { n: 2, of: 7 }, forMs: 3_600_000 };
    t.same(await asked('verify web --part 2/7 --for 1h'), ['verify', verify]);
    const target = { kind: 'block', devices: [{ disk: 'root', device: '/dev/somewhere' }] };
    const recovery = { machine: 'web', at: '2026-01-31T14:05:00+09:00', target, overwrite: ['3600'] };
    const plain = { ...recovery, fresh: false, verify: false, allowDamaged: false };
    const typed = 'recover web --at 2026-01-31T14:05:00 --to block:root=/dev/somewhere --overwrite-disk 3600';
    t.same(await asked(`${typed} --plan`), ['planRecovery', { ...plain, count: true }]);
    t.equal((await fixture.homeward(`${typed} --yes --fresh --verify --allow-damaged`)).status, 0);
    const all = { ...recovery, fresh: true, verify: true, allowDamaged: true };
    t.same(fixture.service.calls.splice(0), [
      ['planRecovery', all],
      ['recover', { ...all, at: 'lsn:118' }],
    ]);
  },
);

t.test('--json gives one document, before the verb and after it', async (t) => {
  const { homeward } = await serve(t);
  for (const args of ['--json status', 'status --json']) {
    const { status, out, err } = await homeward(args);
    t.equal(status, 0);
    t.same(JSON.parse(out), stubStatus);
    t.equal(err, '');
  }
  t.match(JSON.parse((await homeward('views --json')).out), { views: [{ id: 'v1', exports: ['root'] }] });
  t.match(JSON.parse((await homeward('view close v1 --json')).out), { closed: [{ id: 'v1' }] });
  t.match(JSON.parse((await homeward('view web --at latest --listen unix:v --json')).out), {
    id: 'v1',
    lsn: 118,
  });
  t.match(JSON.parse((await homeward('points --json web')).out), { window: { from: { lsn: 12 } } });
  t.match(JSON.parse((await homeward('tag web --name x --json')).out), { name: 'x', lsn: 118 });
});

t.test('long work with --json is lines that end in the result', async (t) => {
  const { homeward } = await serve(t);
  for (const args of ['recover web --at latest --to raw:out', 'verify web']) {
    const { status, out, err } = await homeward(`${args} --json`);
    t.equal(status, 0);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    t.same(
      lines.map((line) => Object.keys(line)),
      [['progress'], ['result']],
    );
    t.equal(err, '');
  }
});

t.test('what people read is aligned, and progress goes to stderr in plain lines', async (t) => {
  const { homeward } = await serve(t);
  t.match((await homeward('status')).out, /^Homeward 0\.1\.0.*\nMACHINE  ID {4}STATE/);
  t.match(
    (await homeward('ingest open web --disk root=1G --listen unix:/run/w')).out,
    /is open for writing on unix:\/run\/w\n {2}root {2}nbd\+unix:\/\/\/root\?socket=\/run\/w\n/,
  );
  const { out, err } = await homeward('recover web --at latest --to raw:out');
  t.match(out, /1 MiB written in 2 s\n[^]*root +20 GiB +raw +\/somewhere\/out\/root\.raw\n$/);
  t.equal(err, 'root: 0 %, 0 B of 100 B\nroot: 100 %, 100 B of 100 B\n');
});

t.test('on a terminal a bar is drawn and taken away again', async (t) => {
  const { homeward } = await serve(t);
  const { status, out } = await homeward(
    'recover web --at latest --to raw:out',
    capturedIo({ terminal: true }),
  );
  t.equal(status, 0);
  t.match(out, /^Recovered web as of/);
});

t.test('failures of the daemon keep their code, hint and exit status', async (t) => {
  const { homeward } = await serve(t);
  const cases = [
    ['points nowhere', 3, 'no-such-machine'],
    ['view close v9', 3, 'no-such-view'],
    ['recover web --at tag:none --to raw:x', 3, 'no-such-tag'],
    ['view web --at latest --listen unix:v --writable', 2, 'not-in-this-version'],
    ['points bug', 70, 'bug'],
  ] as const;
  for (const [args, exit, code] of cases) {
    const plain = await homeward(args);
    t.equal(plain.status, exit, args);
    t.equal(plain.out, '');
    t.match(plain.err, new RegExp(`^homeward: .*\\(${code}\\)\\n.+\\n`));
    const json = await homeward(`${args} --json`);
    t.equal(json.status, exit);
    t.equal(json.out, '');
    t.equal(errorOf(json.err).code, code);
  }
});

t.test('damage that verify finds is an answer with exit status 1', async (t) => {
  const { homeward } = await serve(t);
  const { status, out } = await homeward('verify rotten');
  t.equal(status, 1);
  t.match(out, /is damaged[^]*redo\/1\.seg +root +\[0, 4096\) +3 to 4 +payload/);
  t.equal((await homeward('verify rotten --json')).status, 1);
});

t.test('what cannot be understood is a usage error, in the form that was asked for', async (t) => {
  const { homeward, service } = await serve(t);
  const cases = [
    'stats',
    'status now',
    'status --wach',
    'tag web',
    'tag',
    'ingest',
    'view',
    'ingest open web --listen unix:x',
    'ingest open web --disk root=1G',
    'ingest open --disk root=1G --listen unix:x',
    'view web --listen unix:x',
    'view web --at latest',
    'view close',
    'view close web --at latest --all',
    'recover web --to raw:x',
    'recover web --at latest',
    'verify web --part 9/7',
    'tag web --name',
  ];
  for (const args of cases) {
    const { status, out, err } = await homeward(`--json ${args}`.replace(/--name$/, '--name'));
    t.equal(status, 2, args);
    t.equal(out, '');
    t.equal(errorOf(err).code, 'usage');
    t.notMatch(errorOf(err).message, /\n|^error/);
  }
  t.equal((await homeward('verify web --for soon')).status, 2);
  t.equal((await homeward('recover web --at latest --to in-place --to raw:x')).status, 2);
  for (const idle of ['--verify', '--overwrite-disk x', '--allow-damaged', '--fresh'])
    for (const plan of ['', ' --plan']) {
      const { status, err } = await homeward(`--json recover web --at lsn:1 --to in-place ${idle}${plan}`);
      t.equal(status, 2, `${idle} does nothing there`);
      t.match(errorOf(err), { code: 'usage', message: `${idle.split(' ')[0]} has no meaning` });
    }
  t.equal((await homeward('recover web --at lsn:1 --to raw:x --overwrite-disk x')).status, 2);
  t.same(service.calls, [], 'and the daemon is not asked');
});

t.test('a time is shown as it was understood, and is in the document in UTC', async (t) => {
  const { homeward, service } = await serve(t);
  const shown = /\nAsked for 2026-01-31T14:05:00\+09:00 \(2026-01-31T05:05:00Z\)\n/;
  for (const args of [
    'view web --at 2026-01-31T14:05:00 --listen unix:v',
    'recover web --at 2026-01-31T14:05:00 --to raw:out',
    'recover web --at 2026-01-31T14:05:00 --to raw:out --plan',
    'recover web --at 2026-01-31T14:05:00 --to block:root=/dev/sdx --yes',
  ]) {
    t.match((await homeward(args)).out, shown, args);
    t.notMatch((await homeward(args.replace(/2026\S+/, 'latest'))).out, /Asked/);
  }
  service.calls.length = 0;
  const { out } = await homeward('recover web --at 2026-01-31T14:05 --to block:root=/dev/sdx --yes --json');
  t.type(
    (JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as { result: { asked: string } }).result.asked,
    'string',
  );
  t.match(service.calls[1], ['recover', { at: 'lsn:118' }], 'though only the plan was asked for by the time');
  await homeward('view close web --at 2026-01-31T14:05');
  t.match(service.calls.at(-1), ['closeViews', { at: '2026-01-31T14:05:00+09:00' }]);
});

t.test('what is too small or too large is said with the name of the flag', async (t) => {
  const { homeward } = await serve(t);
  const disks = Array.from({ length: 129 }, (_, count) => `d${count}=1M`).join(' ');
  const long = 'x'.repeat(40_000);
  const cases: [string, string, RegExp][] = [
    ['view web --at latest --listen unix:v --for 0s', 'bad-duration', /^--for 0s is no time/],
    ['verify web --for 0m', 'bad-duration', /^--for 0m is no time/],
    ['view web --at= --listen unix:v', 'usage', /^--at is empty/],
    ['recover web --at= --to raw:x', 'usage', /^--at is empty/],
    [`view web --at tag:${long} --listen unix:v`, 'usage', /^--at has more than \d+ characters/],
    [`ingest open web ${disks} --listen unix:x`, 'usage', /^--disk names 129 disks; a machine has \d+ at/],
    ['ingest open web --disk sa=0 --listen unix:x', 'bad-disk-size', /"sa=0"/],
    ['ingest open web --disk sa=0G --listen unix:x', 'bad-disk-size', /"sa=0G"/],
    ['view web --at 2026-02-30T00:00:00Z --listen unix:x', 'bad-when', /is not a moment/],
  ];
  for (const [args, code, message] of cases) {
    const { status, err } = await homeward(`--json ${args}`);
    t.equal(status, 2, args.slice(0, 60));
    t.match(errorOf(err), { code, message }, args.slice(0, 60));
  }
});

t.test('verbs of later versions are said to be missing, and help does not list them', async (t) => {
  const { homeward, service } = await serve(t);
  for (const args of ['plan', 'size --to x', 'support-bundle out']) {
    const { status, err } = await homeward(`--json ${args}`);
    t.equal(status, 2, args);
    t.equal(errorOf(err).code, 'not-in-this-version', args);
  }
  for (const args of ['points web now', 'points web --wach', 'points --wach', 'chekc'])
    t.equal(errorOf((await homeward(`--json ${args}`)).err).code, 'usage', args);
  t.same(service.calls, []);
  const { out } = await homeward('help');
  t.notMatch(out, /support-bundle/);
  t.match(out, /protect[^]*all-in-one|all-in-one[^]*protect/);
  t.match(out, /zone of the shell/);
});

t.test('--plan shows and writes nothing', async (t) => {
  const { homeward, service } = await serve(t);
  const { status, out } = await homeward('recover web --at latest --to block:root=/dev/sdx --plan');
  t.equal(status, 0);
  t.match(out, /root +20 GiB +block +\/dev\/sdx +- +- +ext4 "old"/);
  t.same(
    service.calls.map(([name]) => name),
    ['planRecovery'],
  );
});

t.test('devices are not written over unasked', async (t) => {
  const { homeward, service } = await serve(t);
  const refused = await homeward('recover web --at latest --to block:root=/dev/sdx data=/dev/sdy');
  t.equal(refused.status, 6);
  t.match(refused.err, /everything on \/dev\/sdx, \/dev\/sdy would be overwritten \(needs-yes\)/);
  t.same(
    service.calls.splice(0).map(([name]) => name),
    ['planRecovery'],
  );
});

t.test('with --yes they are, at the very moment that was planned', async (t) => {
  const { homeward, service } = await serve(t);
  t.equal((await homeward('recover web --at latest --to block:root=/dev/sdx --yes')).status, 0);
  t.match(service.calls[1], ['recover', { at: 'lsn:118' }]);
});

t.test('on a terminal the plan is shown and the answer is waited for', async (t) => {
  const { homeward, service } = await serve(t);
  for (const [answer, status, calls] of [
    ['yes\n', 0, 2],
    ['no\n', 1, 1],
  ] as const) {
    const io = capturedIo({ interactive: true });
    io.stdin.write(answer);
    const done = await homeward('recover web --at latest --to block:root=/dev/sdx', io);
    t.equal(done.status, status);
    t.match(done.err, /ext4 "old"[^]*will be overwritten[^]*Go on\?/);
    t.equal(service.calls.splice(0).length, calls);
  }
});

t.test('Ctrl-C aborts the work and says how things stand', async (t) => {
  const { homeward, service } = await serve(t);
  const io = capturedIo();
  io.stderr.once('data', () => io.interrupt());
  const { status, err } = await homeward('recover forever --at latest --to block:root=/dev/sdx --yes', io);
  t.equal(status, 1);
  t.match(err, /hold parts of the machine only \(interrupted\)\nRun it again with --at lsn:118 to go on/);
  t.match(await service.aborted, { code: 'interrupted' });
});

t.test('status --watch shows again and again until Ctrl-C, and ends with 0', async (t) => {
  const { homeward, service } = await serve(t);
  const io = capturedIo();
  io.stdout.on('data', () => io.interrupt());
  const { status, out } = await homeward('status --watch --json', io);
  t.equal(status, 0);
  t.same(JSON.parse(out), stubStatus);
  t.equal(service.calls.length, 1);
});

// Calls of operators through the configuration server to hosts, by the client and by the command line.
import t, { type Test } from 'tap';
import { run } from '../../cli/run.ts';
import type { HostCall } from '../../core/registration/messages.ts';
import type { MachineStatus } from '../../core/registration/machine-status.ts';
import { capturedIo } from '../support/captured-io.ts';
import { ConfigSite, GiB, sourceReport, type TestHost } from '../support/config-site.ts';
import { until } from '../support/homeward.ts';

interface CalledSite {
  site: ConfigSite;
  source: TestHost;
  target: TestHost;
  /** What arrived where. */
  calls: string[];
  homeward(args: string): Promise<{ status: number; out: string; err: string }>;
}

const targetStatus = (id: string, more: Partial<MachineStatus> = {}): MachineStatus => ({
  id,
  name: 'web',
  disks: [{ name: 'root', size: 20 * GiB, replica: '/r' }],
  state: 'ok',
  detail: null,
  listen: null,
  rpoSeconds: 1,
  headLsn: 9,
  durableLsn: 8,
  appliedLsn: 2,
  oldestLsn: 1,
  redoBytes: 4096,
  undoBytes: 0,
  backlog: { source: 0, processServer: 0, target: 512 },
  ...more,
});

/** `web`, protected; the hosts answer with who they are. */
async function called(t: Test, serve?: (call: HostCall) => AsyncIterable<Uint8Array>): Promise<CalledSite> {
  const site = await ConfigSite.start(t);
  const calls: string[] = [];
  const answer = (who: string) => async (call: HostCall) => {
    calls.push(`${who} ${call.method} ${call.path} ${call.body ?? '-'}`);
    if (serve !== undefined && /verify/.test(call.path)) return { status: 200, body: serve(call) };
    if (/views/.test(call.path) && call.method === 'GET')
      return { status: 200, body: JSON.stringify([{ id: who }]) };
    if (call.path === '/v1/seed-checks') {
      const checks = [{ disk: 'root', bytes: 4 * GiB, storedBytes: GiB, seconds: 90 }];
      return { status: 200, body: JSON.stringify(checks) };
    }
    if (/missing/.test(call.path)) {
      const error = { code: 'no-such-view', message: 'there is no view missing', hint: 'look' };
      return { status: 404, body: JSON.stringify({ error }) };
    }
    return {
      status: 200,
      body: JSON.stringify({ machine: who, lsn: 5, time: 'T', name: 'n', consistency: 'user' }),
    };
  };
  await site.host('process-server', 'ps', { said: { addresses: ['127.0.0.1:9443'] } });
  const report = sourceReport('web', { machine: '6f1b7c1e-9d7f-4e0e-8a55-2f5bd7b6a001' });
  const target = await site.host('master-target', 'mt', {
    call: answer('mt'),
    said: {
      target: { retention: { path: '/ret', freeBytes: GiB }, machines: [targetStatus(report.machine)] },
    },
  });
  const source = await site.source('web', report, { call: answer('source') });
  await site.client.protect({ machine: 'web' });
  return {
    ...{ site, source, target, calls },
    async homeward(args) {
      const io = capturedIo();
      const status = await run([...args.split(' '), '--operator', site.operatorFile], io);
      return { status, out: io.out(), err: io.err() };
    },
  };
}

t.test('tags go to the source, everything else to the master target', async (t) => {
  const { site, calls, homeward } = await called(t);
  t.match(await site.client.control.tag('web', 'noon'), { machine: 'source' });
  t.match(await site.client.control.seeded('web'), { machine: 'mt' });
  t.match(await homeward('tag web --name x --json'), { status: 0, out: /"machine":"source"/ });
  t.match(await site.client.control.listViews(), [{ id: 'mt' }]);
  await t.rejects(site.client.control.closeViews({ id: 'missing' }), { code: 'no-such-view' });
  await t.rejects(site.client.control.points('nobody'), { code: 'no-such-machine' });
  const asked = (call: string): boolean => call.endsWith('/points -');
  t.equal(calls.filter(asked).length, 2, 'the master target is asked whether a name is free');
  const others = calls.filter((call) => !asked(call));
  t.same(others, [
    'source POST /v1/machines/web/tags {"name":"noon"}',
    'mt POST /v1/machines/web/seeded -',
    'source POST /v1/machines/web/tags {"name":"x"}',
    'mt GET /v1/views -',
    'mt DELETE /v1/views/missing -',
  ]);
});

t.test('views of several master targets are one list, and each is asked for the one to close', async (t) => {
  const { site, calls } = await called(t);
  await site.host('master-target', 'mt2', {
    call: async ({ method, path }) => {
      calls.push(`mt2 ${method} ${path}`);
      return { status: 200, body: JSON.stringify([{ id: 'mt2' }]) };
    },
  });
  const views = await site.client.control.listViews();
  t.same(views.map(({ id }) => id).toSorted(), ['mt', 'mt2']);
  t.match(await site.client.control.closeViews({ id: 'missing' }), [{ id: 'mt2' }]);
  const ingest = { machine: 'x', disks: [{ name: 'a', sizeBytes: 512 }], listen: 'unix:/x', seeding: false };
  await t.rejects(site.client.control.openIngest(ingest), { code: 'conflict' });
});

t.test('long work streams its progress, and ends when the operator goes', async (t) => {
  let ended = false;
  const lines = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (let done = 0; ; done += 1) {
        yield Buffer.from(`{"progress":{"done":${done},"total":1000,"what":"web"}}\n`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } finally {
      ended = true;
    }
  };
  const { site } = await called(t, lines);
  const going = new AbortController();
  const seen: number[] = [];
  const work = site.client.control.verify(
    { machine: 'web', part: null, forMs: null },
    ({ done }) => {
      seen.push(done);
      if (seen.length === 3) going.abort();
    },
    going.signal,
  );
  await t.rejects(work, { code: 'interrupted' });
  await until('the host to be told', () => ended);
  t.ok(seen.length >= 3);
});

t.test('status puts together what target, process server and source say', async (t) => {
  const { site, source, target, homeward } = await called(t);
  const sync = {
    reason: 'new',
    phase: 'copying',
    doneBytes: 37,
    totalBytes: 100,
    differentBytes: null,
  } as const;
  const report = source.said.source;
  if (report === undefined) throw new Error('no report');
  const head = { ...report.head, lsn: 12, backlogBytes: 2048, state: 'initial-sync' as const };
  source.said = {
    ...source.said,
    source: { ...report, head: { ...head, sync: { ...sync, secondsLeft: 120, ahead: null } } },
  };
  await until(
    'the sync to show',
    async () => (await site.client.status()).machines[0]?.state === 'initial-sync',
  );
  const { machines, hosts } = await site.client.status();
  t.match(machines, [{ headLsn: 12, durableLsn: 8, backlog: { source: 2048, target: 512 }, path: 'chain' }]);
  t.match(hosts, { ok: 3 });
  const text = await homeward('status');
  t.equal(text.status, 0, text.err);
  t.match(text.out, /MACHINE +ID +STATE +RPO +SOURCE +PS +TARGET/);
  t.match(text.out, /initial-sync 37 %, 2 m left/);
  t.match(text.out, /hosts: 3 ok\nRetention volume of mt: \/ret, 1 GiB free/);
  target.said = { addresses: [], disks: [] };
  source.said = { ...source.said, source: { ...report, connected: false } };
  await until(
    'it to be gone',
    async () => (await site.client.status()).machines[0]?.state === 'disconnected',
  );
});

t.test('the verbs of a site answer as text and as JSON', async (t) => {
  const { site, homeward } = await called(t);
  for (const [args, text] of [
    ['hosts', /ROLE +NAME +ID +ENTRY[^]*master-target +mt /],
    ['machines', /MACHINE +ID +STATE +PROTECTED[^]*web .* yes +ps +mt +1 d +root 20 GiB/],
    [
      'events --limit 2',
      /ID +TIME +SEVERITY +EVENT +WHAT\n[^\n]*\n[^\n]*protected +web is protected, epoch 1\n$/,
    ],
    ['passphrase show', /^[A-Za-z2-9]{24}\n$/],
    [
      'protect web --window 2h --seed root=/old/root.qcow2',
      /epoch 2[^]*window +2 h[^]*root\.qcow2 \(qcow2\), 1 GiB stored of 4 GiB; compared in about 1 m/,
    ],
    ['protect web --window 2h', /was protected so already/],
    ['unprotect web', /not protected any more/],
    ['unprotect web', /was not protected/],
    ['hosts remove mt', /master-target mt .* is removed/],
  ] as const) {
    const { status, out, err } = await homeward(args);
    t.equal(status, 0, `${args}: ${err}`);
    t.match(out, text, args);
  }
  t.match(JSON.parse((await homeward('hosts --json')).out), { hosts: [{ role: 'mobility' }, {}] });
  t.match(JSON.parse((await homeward('machines --json')).out), { machines: [{ name: 'web' }] });
  t.match(JSON.parse((await homeward('events --limit 1 --json')).out), { events: [{ kind: 'removed' }] });
  const refusals: [string, number, string][] = [
    ['hosts approve nobody', 3, 'no-such-host'],
    ['protect web', 3, 'no-such-host'],
    ['protect web --seed root=old.img', 2, 'usage'],
    ['events --limit 0', 2, 'usage'],
    ['hosts --control /x', 2, 'usage'],
  ];
  for (const [args, status, code] of refusals) {
    const refused = await homeward(`${args} --json`);
    t.equal(refused.status, status, args);
    t.match(JSON.parse(refused.err), { error: { code } }, args);
  }
  const io = capturedIo({ env: { HOMEWARD_OPERATOR: site.operatorFile } });
  t.equal(await run(['hosts', '--control', '/x', '--json'], io), 7, 'a daemon knows of no hosts');
});

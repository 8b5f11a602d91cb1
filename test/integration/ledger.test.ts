// The head of a machine's ledger goes out with every heartbeat, and one that goes back is an event.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { connectControl, type ControlClient } from '../../agent/control/client.ts';
import { startDaemon } from '../../agent/daemon.ts';
import { hashLine } from '../../agent/journal/ledger-line.ts';
import type { EventReport } from '../../config-server/client.ts';
import { loadConfig } from '../../core/config.ts';
import { silentLog } from '../../core/log.ts';
import type { MachineStatus } from '../../core/registration/machine-status.ts';
import { readVersion } from '../../core/version.ts';
import { ConfigSite, GiB } from '../support/config-site.ts';
import { until } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.setTimeout(120_000);

async function wentBack({ client }: ConfigSite): Promise<EventReport[]> {
  const events = await client.events({ limit: 1000 });
  return events.filter(({ kind }) => kind === 'ledger-went-back');
}

interface Target {
  client: ControlClient;
  ledger(): string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A real master target that reports to `site`. */
async function masterTarget(t: Test, site: ConfigSite): Promise<Target> {
  const data = temporaryDirectory(t);
  const control = path.join(data, 'control.sock');
  const retention = path.join(data, 'retention');
  const client = connectControl(control);
  let daemon: { stop(): Promise<void> } | null = null;
  const stop = async (): Promise<void> => {
    await daemon?.stop();
    daemon = null;
  };
  t.teardown(async () => {
    await stop();
    await client.close();
  });
  return {
    client,
    stop,
    ledger: () => {
      const machine = fs.readdirSync(retention).find((name) => name.length === 36) ?? '';
      return path.join(retention, machine, 'ledger');
    },
    start: async () => {
      daemon = await startDaemon({
        ...{ data, control, retention, replicas: path.join(data, 'replicas') },
        config: loadConfig({
          file: null,
          environment: { HOMEWARD_RETENTION_RESERVE_BYTES: '0' },
          log: silentLog,
        }),
        log: silentLog,
        version: readVersion(),
        name: 'mt',
        configServer: site.address,
        passphraseFile: path.join(site.data, 'passphrase'),
      });
    },
  };
}

t.test('a ledger that is put back from a copy is told of', async (t) => {
  const site = await ConfigSite.start(t);
  const target = await masterTarget(t, site);
  await target.start();
  await site.approve('mt');
  const listen = `unix:${path.join(temporaryDirectory(t), 'box.sock')}`;
  await target.client.openIngest({
    machine: 'box',
    disks: [{ name: 'disk', sizeBytes: 1024 * 1024 }],
    listen,
    seeding: false,
  });
  await target.stop();
  const old = fs.readFileSync(target.ledger());
  for (let starts = 0; starts < 4; starts++) {
    await target.start();
    await target.stop();
  }
  await target.start();
  const lines = (): string[] => fs.readFileSync(target.ledger(), 'utf8').trimEnd().split('\n');
  const wanted = lines().length;
  const known = async (): Promise<MachineStatus | undefined> =>
    (await site.client.control.status()).machines[0];
  await until('the head to be heard', async () => ((await known())?.ledger?.n ?? 0) >= wanted);
  const head = (await known())?.ledger ?? { n: 0, hash: '' };
  const { n } = head;
  t.equal(head.hash, hashLine(Buffer.from(lines()[n - 1] ?? '')), 'it is a durable line');
  // It is noted when the watch looks next.
  await until('the head to be remembered', () => rowOf(site, n));
  t.same(await wentBack(site), []);
  await target.stop();
  fs.writeFileSync(target.ledger(), old);
  await target.start();
  await until('the event', async () => (await wentBack(site)).length > 0);
  const [event] = await wentBack(site);
  t.match(event, {
    severity: 'critical',
    message: new RegExp(`the ledger of box went back from line \\d+ to \\d+: its history was changed`),
  });
  t.match((await known())?.detail, /its ledger went back from line .*homeward verify/);
});

/** The database is ours to look into: nothing else shows what is remembered. */
async function rowOf(site: ConfigSite, n: number): Promise<boolean> {
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path.join(site.data, 'state.sqlite'), { readOnly: true });
  try {
    return database.prepare('select n from ledgers where n >= ?').get(n) !== undefined;
  } finally {
    database.close();
  }
}

t.test('another line of the same number is told of once, also after a restart in between', async (t) => {
  const site = await ConfigSite.start(t);
  const status = (n: number, hash: string): MachineStatus => ({
    ...{ id: '6f1b7c1e-9d7f-4e0e-8a55-2f5bd7b6a001', name: 'web', disks: [], state: 'ok', detail: null },
    ...{ listen: null, rpoSeconds: 1, headLsn: 9, durableLsn: 8, appliedLsn: 2, oldestLsn: 1 },
    ...{ redoBytes: 0, undoBytes: 0, backlog: { source: 0, processServer: 0, target: 0 } },
    ledger: { n, hash },
  });
  const report = (n: number, hash: string) => ({
    retention: { path: '/ret', freeBytes: GiB },
    machines: [status(n, hash)],
  });
  const target = await site.host('master-target', 'mt', { said: { target: report(7, 'aa') } });
  await until('it to be remembered', () => rowOf(site, 7));
  await site.restart();
  target.said.target = report(7, 'bb');
  await until('the event', async () => (await wentBack(site)).length > 0);
  t.match(await wentBack(site), [{ message: /the ledger of web has another line 7 than before/ }]);
  target.said.target = report(9, 'cc');
  await until('it to go on', () => rowOf(site, 9));
  t.equal((await wentBack(site)).length, 1);
});

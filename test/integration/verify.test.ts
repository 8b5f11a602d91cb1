// Verification of a running master target in pieces: bounded in time again and again, and in n of t parts.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { VerifyReport, VerifyRequest } from '../../agent/control/client.ts';
import { hastySettings, HistorySite, machineName } from '../support/history-site.ts';

t.setTimeout(120_000);

/** A history with redo, undo and a replica, in which nothing moves any more. */
async function stillSite(t: Test): Promise<HistorySite> {
  const site = await HistorySite.start(t, { ...hastySettings, ReplicaLag: '52w', WindowHours: '52w' });
  for (let round = 0; round < 3; round++) {
    await site.write(150);
    await site.applyAll();
  }
  await site.write(100);
  return site;
}

function verify({ target }: HistorySite, request: Partial<VerifyRequest> = {}): Promise<VerifyReport> {
  const whole = { machine: machineName, part: null, forMs: null, ...request };
  return target.client.verify(whole, () => undefined, new AbortController().signal);
}

/** Runs that stop as early as they can, until one has come to the end. */
async function inShortRuns(site: HistorySite): Promise<VerifyReport[]> {
  const runs: VerifyReport[] = [];
  do {
    runs.push(await verify(site, { forMs: 1 }));
    if (runs.length > 1000) throw new Error('it never comes to the end');
  } while ((runs.at(-1)?.covered.sweep?.remainingPieces ?? 0) > 0);
  return runs;
}

const sumOf = (reports: readonly VerifyReport[], count: (report: VerifyReport) => number): number =>
  reports.reduce((sum, report) => sum + count(report), 0);
const bytesOf = ({ covered }: VerifyReport): number => covered.bytes;
const recordsOf = ({ covered }: VerifyReport): number => covered.records;

t.test('runs that are bounded in time go on where the one before stopped, and cover all', async (t) => {
  const site = await stillSite(t);
  const whole = await verify(site);
  t.same(whole.damaged, []);
  t.ok((whole.covered.undo?.files ?? 0) >= 3 && (whole.covered.redo?.files ?? 0) >= 1, 'all kinds are there');
  const runs = await inShortRuns(site);
  t.ok(runs.length > 1, `${runs.length} runs`);
  t.equal(sumOf(runs, bytesOf), bytesOf(whole));
  t.equal(sumOf(runs, recordsOf), recordsOf(whole));
  t.equal(runs[0]?.covered.sweep?.resumed, false);
  t.ok(runs.slice(1).every(({ covered }) => covered.sweep?.resumed === true));
  const again = await verify(site, { forMs: 60_000 });
  t.equal(bytesOf(again), bytesOf(whole), 'then it begins anew');
});

t.test('the sweep goes on after the daemon was killed, and finds what was damaged meanwhile', async (t) => {
  const site = await stillSite(t);
  const whole = await verify(site);
  const first = await verify(site, { forMs: 1 });
  await site.target.kill();
  // The newest undo is looked at late, so what comes behind the first run has it.
  const file = path.join(site.directory, 'undo', site.undoFiles.at(-1) ?? '');
  const bytes = fs.readFileSync(file);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  fs.writeFileSync(file, bytes);
  await site.target.restart();
  const runs = await inShortRuns(site);
  t.equal(runs[0]?.covered.sweep?.resumed, true, 'where it stopped is on the disk');
  const damaged = runs.flatMap((run) => run.damaged);
  t.ok(damaged.length > 0);
  t.same([...new Set(damaged.map((damage) => path.basename(damage.file)))], [path.basename(file)]);
  t.match(damaged[0], { in: 'undo', machine: machineName, offer: null, recoverable: /all points/ });
  t.ok(sumOf([first, ...runs], bytesOf) > bytesOf(whole) / 2);
});

t.test('t parts cover everything once, and one of them finds the damage', async (t) => {
  const site = await stillSite(t);
  const whole = await verify(site);
  const of = 3;
  const all = async (): Promise<VerifyReport[]> => {
    const reports: VerifyReport[] = [];
    for (let n = 1; n <= of; n++) reports.push(await verify(site, { part: { n, of } }));
    return reports;
  };
  const parts = await all();
  t.equal(sumOf(parts, bytesOf), bytesOf(whole));
  t.equal(sumOf(parts, recordsOf), recordsOf(whole));
  const file = path.join(site.directory, 'undo', site.undoFiles[1] ?? '');
  const bytes = fs.readFileSync(file);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  fs.writeFileSync(file, bytes);
  t.equal((await all()).filter(({ ok }) => !ok).length, 1);
  t.equal((await site.target.command(['verify', machineName, '--part', '1/1'])).status, 1);
});

t.test(
  'a ledger that is damaged or deleted before a start is a finding of each run from then on',
  async (t) => {
    const site = await stillSite(t);
    const ledger = path.join(site.directory, 'ledger');
    const kill = async (): Promise<void> => {
      await site.target.kill();
      fs.appendFileSync(ledger, '{"n":');
    };
    await kill();
    await site.target.restart();
    t.match(await verify(site), { ok: true, damaged: [] }, 'a torn end is what a crash leaves');
    t.equal((await site.status()).state, 'ok');
    await kill();
    const bytes = fs.readFileSync(ledger);
    bytes[bytes.indexOf(10) + 20]! ^= 1;
    fs.writeFileSync(ledger, bytes);
    await site.target.restart();
    const report = await verify(site);
    t.match(report, { ok: false, damaged: [{ in: 'ledger', file: ledger, offer: null }] });
    t.match(report.damaged[0]?.what, /from line 2 on .* what it alone knew is unknown; .* ledger\.cut-2$/);
    t.ok((report.damaged[0]?.toLsn ?? 0) > 0, 'what it may have told of');
    t.match(await site.status(), { state: 'damaged', detail: /account of its history was damaged or gone/ });
    await kill();
    fs.unlinkSync(ledger);
    for (let start = 0; start < 2; start++) {
      await site.target.restart();
      const { status, out } = await site.target.command(['verify', machineName]);
      t.equal(status, 1, out);
      t.match(out, /ledger .*from line 1 on at a start \(there was none\)/);
      t.equal((await site.status()).state, 'damaged', 'also where nobody has verified it');
      await site.target.kill();
    }
  },
);

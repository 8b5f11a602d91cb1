// The status of a machine put together from reports of several ages.
import t from 'tap';
import { mergeStatus, agedStatus, type MachineFacts } from '../../../config-server/machines/status.ts';
import type { Assignment } from '../../../core/identity/assignment.ts';
import type { MachineStatus } from '../../../core/registration/machine-status.ts';
import type { SourceReport, SpoolReport } from '../../../core/registration/messages.ts';
import { sourceReport } from '../../support/config-site.ts';

const report = sourceReport('web');
const assignment: Assignment = {
  machine: report.machine,
  name: 'web',
  epoch: 1,
  source: 's',
  masterTarget: 'm',
  processServer: { hostId: 'p', addresses: ['127.0.0.1:9443'] },
  disks: [],
  seeds: [],
  windowMs: 1,
  consistencyIntervalMs: 1,
  ended: false,
};
const machine = { id: report.machine, name: 'web', source: 's', disks: report.disks, firstSeen: 0 };
const target: MachineStatus = {
  ...{ id: report.machine, name: 'web', disks: [], state: 'ok', detail: null, listen: null },
  ...{
    rpoSeconds: 0.5,
    headLsn: 10,
    durableLsn: 10,
    appliedLsn: 1,
    oldestLsn: 1,
    redoBytes: 1,
    undoBytes: 0,
  },
  backlog: { source: 7, processServer: 8, target: 9 },
};
const spool: SpoolReport = {
  ...{ machine: report.machine, spooled: 10, target: 9, applied: 1, backlogBytes: 80, spoolBytes: 100 },
  ...{ sourceConnected: true, targetConnected: true, room: 'ok', problems: [] },
};

const facts = (more: Partial<MachineFacts> = {}): MachineFacts => ({
  machine,
  assignment,
  target: { report: target, ageMs: 2000 },
  source: { report, ageMs: 1000 },
  spool: { report: spool, ageMs: 1000 },
  targetSilentMs: 2000,
  masterTargetName: 'mt',
  ...more,
});
const sourceOf = (more: Partial<SourceReport>, ageMs = 1000): Partial<MachineFacts> => ({
  source: { report: { ...report, ...more }, ageMs },
});

t.test(
  'a machine that is well: RPO grows with the age of the report, backlogs are the freshest',
  async (t) => {
    t.match(mergeStatus(facts()), {
      state: 'ok',
      rpoSeconds: 2.5,
      backlog: { source: 0, processServer: 80, target: 9 },
      source: { state: 'ok', connected: true },
      path: 'chain',
    });
    const { backlog } = mergeStatus(
      facts({ spool: { report: spool, ageMs: 99_000 }, ...sourceOf({}, 99_000) }),
    );
    t.same(backlog, { source: 7, processServer: 8, target: 9 }, 'what came by the stream is younger');
  },
);

t.test('the gravest trouble names the state', async (t) => {
  const states: [Partial<MachineFacts>, MachineStatus['state'], RegExp][] = [
    [{ assignment: null, target: null }, 'idle', /homeward protect web/],
    [{ assignment: { ...assignment, ended: true } }, 'idle', /any more/],
    [{ targetSilentMs: 40_000 }, 'disconnected', /master target mt is silent/],
    [{ targetSilentMs: null, target: null }, 'disconnected', /master target/],
    [{ target: { report: { ...target, state: 'damaged', detail: 'rot' }, ageMs: 0 } }, 'damaged', /rot/],
    [sourceOf({}, 40_000), 'disconnected', /silent/],
    [{ source: null }, 'disconnected', /not been heard/],
    [sourceOf({ connected: false, problem: { code: 'timed-out', message: 'cut' } }), 'disconnected', /cut/],
    [{ spool: { report: { ...spool, targetConnected: false }, ageMs: 0 } }, 'disconnected', /does not reach/],
    [{ target: null }, 'waiting', /not begun/],
    [sourceOf({ connected: false, head: { ...report.head, state: 'unprotected' } }), 'waiting', /not heard/],
    [sourceOf({ head: { ...report.head, state: 'waiting-for-sync' } }), 'initial-sync', /its turn/],
    [sourceOf({ head: { ...report.head, state: 'overflow' } }), 'gap', /resync follows/],
  ];
  for (const [more, state, detail] of states) t.match(mergeStatus(facts(more)), { state, detail });
  t.equal(mergeStatus(facts(sourceOf({ head: { ...report.head, state: 'resync' } }))).state, 'resync');
  const full = { spool: { report: { ...spool, room: 'full' as const }, ageMs: 0 } };
  t.match(mergeStatus(facts(full)), { state: 'ok', detail: /spool .* is full/ });
});

t.test('what only a master target knows ages, and is silent with it', async (t) => {
  t.match(agedStatus({ report: target, ageMs: 1500 }), { state: 'ok', rpoSeconds: 2 });
  t.match(agedStatus({ report: target, ageMs: 60_000 }), { state: 'disconnected', rpoSeconds: 60.5 });
  t.match(agedStatus({ report: { ...target, rpoSeconds: null }, ageMs: 0 }), { rpoSeconds: null });
});

t.test(
  'of one that was handed over its master target alone tells, whatever its old source does',
  async (t) => {
    const report = { ...target, path: 'ingest' as const, detail: 'it was handed over' };
    const silent = sourceOf({ connected: false, problem: { code: 'fenced', message: 'refused' } }, 40_000);
    const told = mergeStatus(facts({ target: { report, ageMs: 0 }, ...silent }));
    t.match(told, { state: 'ok', detail: 'it was handed over', path: 'ingest', name: 'web' });
  },
);

// The calls that show and set how history is kept, and lock points, on a machine file in memory.
import t from 'tap';
import {
  lockMachinePoint,
  retention,
  unlockMachinePoint,
  type RetainedMachine,
} from '../../../../agent/retention/retention-service.ts';
import { machinePolicy } from '../../../../agent/retention/machine-policy.ts';
import { keptReports, lockReports, rateReports } from '../../../../agent/retention/points-report.ts';
import { WriteRates } from '../../../../agent/retention/write-rates.ts';
import type { MachineFile } from '../../../../agent/replica/machine-file.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { silentLog } from '../../../../core/log.ts';

const hourMs = 3600e3;
const now = Date.parse('2026-01-31T00:00:00Z') * 1000;
const defaults = { windowMs: 24 * hourMs, windowMaxBytes: 0, keepRules: 'hourly=7d', floorMs: 4 * hourMs };
const parts = { defaults, log: silentLog, now };

interface Fixture extends RetainedMachine {
  file: MachineFile;
  changes: number;
}

function machine(change: Partial<MachineFile> = {}): Fixture {
  return {
    name: 'web',
    file: { id: '1', name: 'web', created: '2026-01-01T00:00:00Z', disks: [], seeding: false, ...change },
    changes: 0,
    changeFile(next) {
      this.changes += 1;
      Object.assign(this.file, next);
    },
    async resolve(when) {
      return { lsn: Number(when.slice(4)), time: now };
    },
    hold(lsn) {
      if (lsn < 10) throw new HomewardError('outside-window', 'it has just gone');
      return { release: () => undefined };
    },
  };
}

t.test('what is not set for a machine is as it was protected, else the default', async (t) => {
  t.match(retention(machine(), null, parts), {
    windowMs: 24 * hourMs,
    keep: 'hourly=7d',
    floorMs: 4 * hourMs,
    from: { window: 'default', keep: 'default' },
    changed: false,
  });
  const web = machine({ windowMs: 2 * hourMs });
  t.match(retention(web, null, parts), {
    windowMs: 2 * hourMs,
    floorMs: 2 * hourMs,
    from: { window: 'protection' },
  });
  t.match(retention(web, { windowMs: 48 * hourMs, keep: 'daily=4w, hourly=2d' }, parts), {
    windowMs: 48 * hourMs,
    keep: 'hourly=2d,daily=4w',
    from: { window: 'machine', keep: 'machine', floor: 'default' },
    changed: true,
  });
  t.equal(retention(web, { windowMs: 48 * hourMs }, parts).changed, false);
  t.equal(web.changes, 1);
  t.match(retention(web, { windowMs: null, maxBytes: 100 }, parts), { windowMs: 2 * hourMs, maxBytes: 100 });
  t.same(web.file.retention, { keep: 'hourly=2d,daily=4w', maxBytes: 100 });
  t.match(machinePolicy(web.file, defaults), { keep: { hourly: 48 * hourMs, daily: 672 * hourMs } });
});

t.test('what cannot be meant changes nothing', async (t) => {
  const web = machine();
  for (const [change, code] of [
    [{ windowMs: 0 }, 'usage'],
    [{ windowMs: 53 * 7 * 24 * hourMs }, 'usage'],
    [{ floorMs: 25 * hourMs }, 'usage'],
    [{ keep: 'now and then' }, 'bad-keep-rules'],
  ] as const) {
    t.throws(() => retention(web, change, parts), { code });
  }
  t.equal(web.changes, 0);
});

t.test('a point is locked and unlocked, and points tells of it', async (t) => {
  const web = machine();
  const locked = await lockMachinePoint(web, { at: 'lsn:12', until: '1d', name: null }, parts);
  t.match(locked, { machine: 'web', lsn: 12, until: '2026-02-01T00:00:00.000000Z', changed: true });
  t.match(await lockMachinePoint(web, { at: 'lsn:12', until: '1d', name: null }, parts), { changed: false });
  t.match(lockReports(web.file.locks), [{ lsn: 12, name: null, time: '2026-01-31T00:00:00.000000Z' }]);
  await t.rejects(unlockMachinePoint(web, 'lsn:12', parts), { code: 'locked' });
  await t.rejects(unlockMachinePoint(web, 'lsn:13', parts), { code: 'no-such-lock' });
  await t.rejects(lockMachinePoint(web, { at: 'lsn:9', until: '1d', name: null }, parts), {
    code: 'outside-window',
  });
  t.equal(web.changes, 1);
  const later = { ...parts, now: now + 86_400e6 };
  t.match(await unlockMachinePoint(web, 'lsn:12', later), { lsn: 12 });
  t.same(web.file.locks, []);
});

t.test('kept points and rates are told with times as text', async (t) => {
  const point = { lsn: 3, time: now, tag: 'x', reasons: ['tag' as const], until: now + 1 };
  t.same(keptReports([point]), [
    {
      lsn: 3,
      time: '2026-01-31T00:00:00.000000Z',
      tag: 'x',
      reasons: ['tag'],
      until: '2026-01-31T00:00:00.000001Z',
    },
  ]);
  const rates = new WriteRates();
  rates.note(now, 7);
  t.same(rateReports(rates), [{ time: '2026-01-31T00:00:00.000000Z', bytes: 7, records: 1, flushes: 0 }]);
});

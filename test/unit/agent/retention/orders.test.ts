// What is asked of a machine is true for as long as it is carried out, and a pass over all can take long.
import t from 'tap';
import { trailsByWindow } from '../../../../agent/retention/follow.ts';
import { ordersFor, type Ordered } from '../../../../agent/retention/orders.ts';
import { WriteRates } from '../../../../agent/retention/write-rates.ts';
import { loadConfig } from '../../../../core/config.ts';
import { silentLog } from '../../../../core/log.ts';
import { MiB } from '../../../../core/units.ts';

const now = Date.parse('2026-01-31T00:00:00Z') * 1000;
const hourMs = 3600_000;

t.test('a point that is locked while a pass is under way counts from there on', (t) => {
  const defaults = loadConfig({ file: null, environment: {}, log: silentLog });
  const config = { ...defaults, replicaLagMs: 48 * hourMs };
  const file: Record<string, unknown> = {
    ...{ id: 'w', name: 'web', seeding: false, disks: [] },
    retention: { windowMs: 24 * hourMs, keep: 'none' },
  };
  const machine = {
    ...{ id: 'w', file, rates: new WriteRates(), timeOf: () => now },
    cursor: { lsn: 5, pruned: 5, time: now },
    history: { undo: { bytes: 0, steps: [] } },
    journal: { redoBytes: MiB, segments: [] },
  } as unknown as Ordered;
  const volume = { totalBytes: 1000 * MiB, freeBytes: 900 * MiB, reserveBytes: MiB };
  const [order] = ordersFor({ machines: [machine], config, volume, now }).map((one) => one.order);
  const cursor = { firstPoint: 0, stepTo: null } as Parameters<typeof trailsByWindow>[1];
  t.ok(trailsByWindow(order!.follow, cursor), 'nothing is kept: the cursor trails, and saves no undo');
  file['locks'] = [{ lsn: 7, until: '2027-01-31T00:00:00Z' }];
  t.notOk(trailsByWindow(order!.follow, cursor), 'the step over it must save undo');
  t.match(order!.follow.stops(5, 9), [7]);
  t.end();
});

// When it is foreseen that the history will not fit, and how often that is told.
import t from 'tap';
import { foreseen, Outlook, type Foreseen } from '../../../../agent/retention/outlook.ts';
import { WriteRates } from '../../../../agent/retention/write-rates.ts';
import { loadConfig } from '../../../../core/config.ts';
import { createLog, silentLog } from '../../../../core/log.ts';
import { MiB } from '../../../../core/units.ts';

const minute = 60e6;
const start = Date.parse('2026-01-31T00:00:00Z') * 1000;
const config = loadConfig({ file: null, environment: {}, log: silentLog });

interface Played {
  machine: Foreseen;
  rates: WriteRates;
  file: Record<string, unknown>;
  cursor: { firstPoint: number | null };
}

/** Only what is asked of a machine: a segment of `megabytes` that ends now, and no undo. */
function played(megabytes: number): Played {
  const rates = new WriteRates();
  const file = { id: 'w', name: 'web', seeding: false, disks: [] };
  const cursor = { lsn: 5, pruned: 0, time: start, firstPoint: 0 as number | null };
  const end = megabytes * MiB;
  const segments = [{ firstLsn: 1, lastLsn: 9, end, bytes: end, lastArrival: start }];
  const machine = {
    ...{ id: 'w', name: 'web', rates, file, cursor, timeOf: () => start },
    history: { undo: { bytes: 0, steps: [] } },
    journal: { redoBytes: end, segments },
  } as unknown as Foreseen;
  return { machine, rates, file, cursor };
}

const volume = (freeMegabytes: number) => ({
  totalBytes: 1000 * MiB,
  freeBytes: freeMegabytes * MiB,
  reserveBytes: 10 * MiB,
});

t.test('a machine counts with the rate since its first copy, once enough of it is known', async (t) => {
  const { machine, rates, file, cursor } = played(100);
  const rate = (minutes: number): number =>
    foreseen(machine, config, start + minutes * minute).bytesPerMinute / MiB;
  rates.note(start, 600 * MiB);
  for (let past = 1; past <= 30; past++) rates.note(start + past * minute, 2 * MiB);
  t.equal(rate(5), 0, 'too little is known');
  t.equal(Math.round(rate(30)), 22);
  cursor.firstPoint = 3;
  t.equal(Math.round(rate(31)), 2, 'without the minute of the first copy');
  file['seeding'] = true;
  t.equal(rate(30), 0);
  file['seeding'] = false;
  file['retention'] = { maxBytes: 1440 * MiB };
  t.equal(rate(31), 0.5, 'no more than its own bound allows');
  t.equal(foreseen(machine, config, start).bytesSince(start - minute), 100 * MiB);
  t.equal(foreseen(machine, config, start).bytesSince(start + minute), 0, 'nothing is as young as that');
});

t.test('it is told when it begins, when it is so, and when it is over', async (t) => {
  const lines: string[] = [];
  const outlook = new Outlook({ config, log: createLog('info', (line) => lines.push(line)) });
  const { machine, rates } = played(100);
  for (let past = 0; past <= 30; past++) rates.note(start + past * minute, MiB);
  let now = start + 30 * minute;
  const look = (freeMegabytes: number): string[] => {
    now += minute;
    outlook.look([machine], volume(freeMegabytes), now);
    return lines.splice(0);
  };
  t.equal(outlook.report, null);
  t.same(look(9000), []);
  t.match(outlook.report, { text: null, hours: 24, fallsUnderAt: null, machine: null });
  const [told = ''] = look(1000);
  t.match(
    told,
    /level=warn event=history-falls text="history falls under 24 h at 2026-01-31T.*" machine=web/,
  );
  t.match(outlook.report, { machine: 'web', fallsUnderAt: /^2026-01-31T/ });
  t.same(look(990), [], 'told once');
  outlook.look([machine], volume(0), now + 1);
  t.match(outlook.report?.text, /falls under/, 'looked at once a minute');
  const [short = ''] = look(0);
  t.match(short, /level=error event=history-short text="history is under 24 h already" machine=web/);
  t.same(look(990), [], 'it has got better, but not well');
  t.match(look(9000).join(''), /level=info event=history-fits hours=24/);
});

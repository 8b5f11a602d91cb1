// Property: through any sequence of prunes, splits and merges a kept point stays until its rule lets it go.
import fc from 'fast-check';
import t from 'tap';
import { keptPoints, type Candidate, type KeepPolicy } from '../../../../agent/retention/kept-points.ts';
import { planPrune } from '../../../../agent/retention/prune.ts';
import { planThinning } from '../../../../agent/retention/thinning.ts';
import { parseKeepRules } from '../../../../core/keep-rules.ts';

const hour = 3600e6;
const rules = parseKeepRules('hourly=12h,daily=3d,tags=20h');
const begin = Date.parse('2026-03-01T05:00:00Z') * 1000;

interface Step {
  from: number;
  to: number;
  bytes: number;
}

/** One machine: a record every ten minutes of work, segments of 8 records, steps wherever they are drawn. */
class Site {
  now = begin;
  windowMs = 3 * 3600e3;
  head = 0;
  cursor = 0;
  pruned = 0;
  steps: Step[] = [];
  locks: { lsn: number; until: number }[] = [];
  tags = new Set<number>();
  gaps: { from: number; to: number }[] = [];
  /** What views show. */
  shown = new Set<number>();
  /** What was promised: LSN → until. */
  promised = new Map<number, number>();

  readonly times = [begin];

  timeOf = (lsn: number): number => this.times[lsn] ?? Infinity;
  inGap = (lsn: number): boolean => this.gaps.some(({ from, to }) => from <= lsn && lsn < to);

  get boundaries(): number[] {
    return [this.steps[0]?.from ?? this.cursor, ...this.steps.map(({ to }) => to)];
  }

  canShow(lsn: number): boolean {
    return this.boundaries.includes(lsn) || (lsn > this.pruned && lsn <= this.head);
  }

  policy(): KeepPolicy {
    return { rules, locks: this.locks, windowMs: this.windowMs, now: this.now };
  }

  candidates(): Candidate[] {
    return this.boundaries.map((lsn) => ({
      lsn,
      time: this.timeOf(lsn),
      point: !this.inGap(lsn),
      tag: this.tags.has(lsn) ? { name: `t${lsn}` } : null,
    }));
  }

  write(count: number, gap: boolean): void {
    if (gap) this.gaps.push({ from: this.head + 1, to: this.head + count });
    for (let each = 0; each < count; each++) this.times.push((this.now += hour / 6));
    this.head += count;
  }

  apply(count: number): void {
    const to = Math.min(this.head, this.cursor + count);
    if (to > this.cursor) this.steps.push({ from: this.cursor, to, bytes: 100 * (to - this.cursor) });
    this.cursor = to;
  }

  prune(): void {
    const segments = Array.from({ length: Math.floor(this.head / 8) }, (_, at) => ({
      firstLsn: at * 8 + 1,
      lastLsn: at * 8 + 8,
      lastTime: this.timeOf(at * 8 + 8),
      lastArrival: 0,
      bytes: 800,
    })).filter(({ lastLsn }) => lastLsn > this.pruned);
    const plan = planPrune(
      {
        segments,
        boundaries: this.boundaries.map((lsn) => ({ lsn, time: this.timeOf(lsn) })),
        prunedLsn: this.pruned,
        cursorLsn: this.cursor,
        bytes: 0,
        firstPoint: 0,
        shown: [...this.shown],
        gaps: this.gaps,
        tags: [...this.tags].map((lsn) => ({ lsn, time: this.timeOf(lsn) })),
        lsnAtTime: (time) => this.times.findLastIndex((stamp) => stamp <= time),
      },
      { windowMs: this.windowMs, maxBytes: 0, floorMs: 0, keep: rules },
      { locks: this.locks, freeBytes: 0, now: this.now },
    );
    for (const at of plan.splits) this.split(at);
    if (plan.to > this.pruned) this.promiseAll(plan.to);
    this.pruned = plan.to;
  }

  split(at: number): void {
    this.steps = this.steps.flatMap((step) =>
      step.from < at && at < step.to
        ? [
            { ...step, to: at },
            { ...step, from: at },
          ]
        : step,
    );
  }

  /** Every point that loses its redo and that a rule, a lock or a view wants has to be there from now on. */
  promiseAll(to: number): void {
    const all = Array.from({ length: this.head - this.pruned }, (_, at) => this.pruned + 1 + at);
    const every = all.map((lsn) => ({
      lsn,
      time: this.timeOf(lsn),
      point: !this.inGap(lsn),
      tag: this.tags.has(lsn) ? { name: 't' } : null,
    }));
    for (const { lsn, until } of keptPoints(every, this.policy()))
      if (lsn <= to) this.promised.set(lsn, until);
  }

  thin(): void {
    const kept = keptPoints(this.candidates(), this.policy());
    const old = this.steps.filter(({ to }) => to <= this.pruned);
    const plan = planThinning({
      steps: old.map((step) => ({ ...step, toTime: this.timeOf(step.to) })),
      kept,
      needed: [...this.shown],
      freeBytes: 0,
      floorTime: Infinity,
      roomBytes: 1e9,
    });
    if (old.length > 0) this.steps = this.steps.filter(({ to }) => to > plan.dropBelow);
    for (const { from, to } of plan.merges) this.merge(from, to);
  }

  merge(from: number, to: number): void {
    const run = this.steps.filter((step) => step.from >= from && step.to <= to);
    const bytes = run.reduce((sum, step) => sum + step.bytes, 0);
    const rest = this.steps.filter((step) => !run.includes(step));
    this.steps = [...rest, { from, to, bytes }].sort((one, other) => one.from - other.from);
  }

  check(): string | null {
    const joins = this.steps.every(({ from }, at) => at === 0 || this.steps[at - 1]?.to === from);
    if (!joins || (this.steps.at(-1)?.to ?? this.cursor) !== this.cursor) return 'steps do not join';
    const lost = [...this.promised].find(([lsn, until]) => until > this.now && !this.canShow(lsn));
    if (lost !== undefined) return `the kept point ${lost[0]} is gone`;
    const unseen = [...this.shown].find((lsn) => !this.canShow(lsn));
    return unseen === undefined ? null : `a view at ${unseen} has nothing to show`;
  }
}

type Action = (site: Site, pick: (lsns: number[]) => number | undefined) => void;

const actions: Record<string, Action> = {
  write: (site) => site.write(7, false),
  gap: (site) => site.write(9, true),
  apply: (site) => site.apply(6),
  follow: (site) => site.apply(40),
  wait: (site) => (site.now += 5 * hour),
  tag: (site) => site.tags.add(site.head),
  prune: (site) => site.prune(),
  thin: (site) => site.thin(),
  lock: (site, pick) => {
    const lsn = pick(shownBy(site));
    if (lsn === undefined) return;
    site.locks.push({ lsn, until: site.now + 30 * hour });
    site.promised.set(lsn, Math.max(site.promised.get(lsn) ?? 0, site.now + 30 * hour));
  },
  view: (site, pick) => {
    const lsn = pick(shownBy(site));
    if (lsn !== undefined) site.shown.add(lsn);
  },
  close: (site) => site.shown.clear(),
  lengthen: (site) => (site.windowMs = 40 * 3600e3),
};

const shownBy = (site: Site): number[] => {
  const dense = Array.from({ length: site.head - site.pruned }, (_, at) => site.pruned + 1 + at);
  return [...site.boundaries, ...dense].filter((lsn) => !site.inGap(lsn));
};

t.test('kept points, locks and views survive every sequence of prunes, splits and merges', async (t) => {
  const step = fc.record({ name: fc.constantFrom(...Object.keys(actions)), at: fc.nat(1000) });
  const seed = Number(process.env['HOMEWARD_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed}`);
  const property = fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), (list) => {
    const site = new Site();
    for (const { name, at } of list) {
      actions[name]?.(site, (lsns) => lsns[at % Math.max(1, lsns.length)]);
      const wrong = site.check();
      if (wrong !== null) throw new Error(`after ${name}: ${wrong}`);
    }
  });
  fc.assert(property, { seed, numRuns: 400 });
});

t.test('after long quiet only what a rule keeps is left, each between its neighbours one step', async (t) => {
  const site = new Site();
  for (let day = 0; day < 6 * 24; day++) {
    site.write(6, false);
    site.apply(6);
    site.prune();
    site.thin();
  }
  const kept = keptPoints(site.candidates(), { ...site.policy(), locks: [] });
  const below = site.boundaries.filter((lsn) => lsn < site.pruned);
  t.ok(below.length < 12 + 24 + 4, `${below.length} boundaries below the window`);
  t.ok(kept.some(({ reasons }) => reasons.join() === 'daily'));
  t.equal(site.check(), null);
});

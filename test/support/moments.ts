// A disk that is worked on while its cursor follows, its undo grows and its redo is pruned; and views of it
// at random moments of all that can be shown.
import fs from 'node:fs';
import type { Test } from 'tap';
import { MasterTarget, nbdUri, type Settings } from './homeward.ts';
import { attachNbd } from './mounted-disk.ts';
import type { Random } from './random.ts';

/** The cursor follows at once, and the window is so small that the workload runs through it. */
const busy: Settings = {
  ReplicaLag: '0s',
  SegmentBytes: '1M',
  SyncIntervalMs: '50ms',
  KeepRules: 'tags=1d',
};

/** `always` of fifty: the environment variable HOMEWARD_MOMENTS says how many there are instead of fifty. */
export function momentCount(always: number): number {
  const wanted = Number(process.env['HOMEWARD_MOMENTS'] ?? 50);
  if (!Number.isSafeInteger(wanted) || wanted < 1) throw new Error('HOMEWARD_MOMENTS is to be a number');
  return Math.ceil((wanted * always) / 50);
}

/** What goes on meanwhile. */
export interface Load {
  work(operations: number): Promise<void>;
}

export interface Moment {
  lsn: number;
  /** A directory of its own, for what is mounted. */
  directory: string;
  /** The disk as of then, as a loop device. */
  device: string;
}

export interface MomentPlan {
  random: Random;
  /** Nothing below is looked at: the disk was not ready yet. */
  first: number;
  moments: number;
  load: Load;
  operationsPerMoment: number;
  /** A view that is written to, or one that is only read. */
  writable: boolean;
  check(t: Test, moment: Moment): Promise<void>;
}

/** Until the window has left behind what came before the first LSN that counts. */
const operationsMost = 20_000;
/** A few kept points: their undo counts towards the size of the window. */
const tagEvery = 5;
const tagsMost = 4;

type Place = 'redo' | 'undo' | 'kept';

interface Choice {
  lsn: number;
  /** What it is read from. */
  place: Place;
  /** More operands of the command. */
  how: string[];
}

/** In turn; null is anywhere in the dense window. */
const wishes: readonly (Place | null)[] = ['kept', 'redo', 'undo', null, null];

export class MomentSite {
  readonly target: MasterTarget;
  /** The disk that is worked on. */
  readonly device: string;
  /** Where the looked-at moments were read from. */
  readonly #places: Record<Place, number> = { redo: 0, undo: 0, kept: 0 };
  #tags = 0;

  private constructor(target: MasterTarget, device: string) {
    this.target = target;
    this.device = device;
  }

  static async start(t: Test, { size, window }: { size: string; window: string }): Promise<MomentSite> {
    const target = await MasterTarget.start(t, { ...busy, WindowMaxBytes: window });
    fs.chmodSync(target.directory, 0o711); // a database server has to get to its files
    const socket = await target.ingest('box', [`disk=${size}`]);
    return new MomentSite(target, await attachNbd(t, target.directory, nbdUri(socket, 'disk')));
  }

  readonly head = async (): Promise<number> => (await this.target.status('box')).headLsn;

  /** One test a moment, each while the load goes on. */
  async look(t: Test, plan: MomentPlan): Promise<void> {
    await this.#workThroughWindow(plan);
    for (let n = 1; n <= plan.moments; n += 1) {
      await t.test(`moment ${n}`, async (t) => {
        const works = plan.load.work(plan.operationsPerMoment);
        await Promise.all([works, this.#lookOnce(t, plan, wishes[n % wishes.length] ?? null)]);
      });
    }
    const { redo, undo, kept } = this.#places;
    const { appliedLsn, oldestLsn, headLsn, state, detail } = await this.target.status('box');
    t.comment(`${redo} moments in redo, ${undo} in undo, ${kept} kept; oldest ${oldestLsn}, head ${headLsn}`);
    t.match({ state, detail }, { state: 'ok', detail: null }, 'the machine is well');
    t.ok(appliedLsn > plan.first && (oldestLsn ?? 0) >= plan.first, 'redo was applied and pruned meanwhile');
    t.ok(undo + kept > 0, 'some moments were read through undo');
  }

  /** Until all that can be shown is of the time that counts, with tags on the way that stay as points. */
  async #workThroughWindow({ load, first, operationsPerMoment }: MomentPlan): Promise<void> {
    for (let done = 0; ; done += operationsPerMoment) {
      const { window, kept } = await this.target.client.points('box');
      const { appliedLsn } = await this.target.status('box');
      const from = window?.from.lsn ?? 0;
      if (from >= first && appliedLsn > from && kept.some(({ lsn }) => lsn <= from)) return;
      if (done > operationsMost) throw new Error(`the window still begins at ${from}`);
      await load.work(operationsPerMoment);
      if ((done / operationsPerMoment) % tagEvery === 0) await this.#tag();
    }
  }

  async #tag(): Promise<void> {
    if (this.#tags === tagsMost) return;
    this.#tags += 1;
    await this.target.client.tag('box', `tag-${this.#tags}`);
  }

  async #lookOnce(t: Test, plan: MomentPlan, wish: Place | null): Promise<void> {
    const socket = this.target.inDirectory(`moment-${t.name.replaceAll(/\D/g, '')}.sock`);
    const { lsn, id } = await this.#open(t, socket, () => this.#choose(plan, wish));
    t.teardown(() => this.target.closeView(id));
    const directory = this.target.inDirectory(`at-${id}`);
    fs.mkdirSync(directory, { mode: 0o711 });
    const device = await attachNbd(t, directory, nbdUri(socket, 'disk'));
    await plan.check(t, { lsn, directory, device });
  }

  /** Chance may choose a moment that leaves the window before it is opened: then another one. */
  async #open(t: Test, socket: string, choose: () => Promise<Choice>): Promise<{ lsn: number; id: string }> {
    for (;;) {
      const { lsn, place, how } = await choose();
      const listen = `unix:${socket}`;
      const args = ['view', 'box', '--at', `lsn:${lsn}`, '--listen', listen, ...how, '--json'];
      const { status, out, err } = await this.target.command(args);
      if (status === 0) {
        this.#places[place] += 1;
        t.comment(`lsn:${lsn}, ${place}`);
        return { lsn, id: (JSON.parse(out) as { id: string }).id };
      }
      const { window } = await this.target.client.points('box');
      const isGone = err.includes('"outside-window"') || err.includes('"thinned"');
      if (!isGone || window === null || lsn >= window.from.lsn)
        throw new Error(`the view at lsn:${lsn} was not opened: ${err}`);
    }
  }

  /** Anywhere in the dense window when nothing else is wished for, or what is wished for is not there. */
  async #choose({ random, first, writable }: MomentPlan, wish: Place | null): Promise<Choice> {
    const { window, kept } = await this.target.client.points('box');
    const { appliedLsn } = await this.target.status('box');
    if (window === null) throw new Error('the machine has no points');
    const how = writable ? ['--writable'] : [];
    const olds = kept.filter(({ lsn }) => lsn >= first && lsn <= window.from.lsn);
    if (wish === 'kept' && olds.length > 0) return { lsn: random.pick(olds).lsn, place: 'kept', how };
    let [from, to] = [window.from.lsn, window.to.lsn];
    if (wish === 'redo') from = Math.min(Math.max(from, appliedLsn), to);
    if (wish === 'undo') to = Math.max(Math.min(to, appliedLsn - 1), from);
    const lsn = from + random.below(to - from + 1);
    return { lsn, place: lsn < appliedLsn ? 'undo' : 'redo', how };
  }
}

// Progress of long work: a bar on a terminal, plain lines elsewhere, JSON lines for programs.
import type { OnProgress, Progress } from '../agent/control/client.ts';
import { formatSize } from '../core/units.ts';
import type { Session } from './session.ts';
import { formatSeconds } from './table.ts';

interface Display {
  update: OnProgress;
  /** `whole`: all of the work is done. */
  stop(whole: boolean): void;
}

/**
 * Runs `work` and shows how far it is; the display is gone from the terminal before the call comes back.
 * `whole`: whoever ends without an error has done everything.
 */
export async function withProgress<T>(
  session: Session,
  work: (progress: OnProgress) => Promise<T>,
  whole = false,
): Promise<T> {
  const display = await chooseDisplay(session);
  let done = false;
  try {
    const result = await work(display.update);
    done = whole;
    return result;
  } finally {
    display.stop(done);
  }
}

async function chooseDisplay(session: Session): Promise<Display> {
  if (session.json) return { update: (progress) => session.jsonLine({ progress }), stop: () => undefined };
  return session.io.terminal ? barDisplay(session) : plainDisplay(session);
}

async function barDisplay({ io }: Session): Promise<Display> {
  const { SingleBar } = (await import('cli-progress')).default;
  const bar = new SingleBar({
    format: '{what}  [{bar}] {percentage} %  {amount}  {pace}',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    stream: io.stderr as NodeJS.WriteStream,
  });
  const pace = createPace();
  let started = false;
  return {
    update(progress) {
      const payload = { what: progress.what, amount: formatAmount(progress), pace: pace(progress) };
      const total = Math.max(progress.total, 1);
      if (!started) bar.start(total, progress.done, payload);
      started = true;
      bar.setTotal(total);
      bar.update(progress.done, payload);
    },
    stop: () => {
      if (started) bar.stop();
    },
  };
}

const plainIntervalMs = 2000;

function plainDisplay(session: Session): Display {
  const pace = createPace();
  let shownAt = -Infinity;
  let shown: Progress | null = null;
  let last: Progress | null = null;
  const show = (progress: Progress, paceText: string): void => {
    const { done, total, what } = progress;
    const percent = total > 0 ? Math.floor((done / total) * 100) : 0;
    session.note(
      `${what}: ${percent} %, ${formatAmount(progress)}${paceText === '' ? '' : `, ${paceText}`}\n`,
    );
    shown = progress;
  };
  return {
    update(progress) {
      last = progress;
      const now = performance.now();
      const paceText = pace(progress);
      if (now - shownAt < plainIntervalMs) return;
      shownAt = now;
      show(progress, paceText);
    },
    stop(whole) {
      if (whole && last !== null && shown?.done !== last.total) show({ ...last, done: last.total }, '');
    },
  };
}

function formatAmount({ done, total }: Progress): string {
  return `${formatSize(done)} of ${formatSize(total)}`;
}

/** Rate since the first report, and the time that the rest takes at that rate. */
export function createPace(now: () => number = () => performance.now()): (progress: Progress) => string {
  let first: { at: number; done: number } | null = null;
  return ({ done, total }) => {
    const at = now();
    first ??= { at, done };
    const seconds = (at - first.at) / 1000;
    const rate = (done - first.done) / seconds;
    if (!(seconds >= 0.5 && rate > 0)) return '';
    return `${formatSize(Math.round(rate))}/s, ${formatSeconds(Math.max(total - done, 0) / rate)} left`;
  };
}

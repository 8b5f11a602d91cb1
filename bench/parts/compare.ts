// A/B pairs: ours, the peer, ours, the peer …; what counts is the median of the ratios of each pair.
import { usageOf, type Usage } from './processes.ts';

/** One run of one side. */
export interface Measured {
  /** In the unit of the row. */
  value: number;
  /** Bytes moved, for the processor time per GB. */
  bytes: number;
  cpuSeconds: number;
  peakBytes: number;
  /** Further figures by name. */
  more?: Record<string, number>;
  /** What is to be said about this run. */
  remark?: string;
}

export interface Side {
  ours: number;
  peer: number;
}

export interface CaseResult {
  row: number;
  case: string;
  ours: number;
  peer: number;
  peerName: string;
  /** Ours over the peer's: median of the pairs. */
  ratio: number;
  unit: string;
  /** `≥ 1.0` or `≤ 1.3`; null for a case that is there for comparison. */
  goal: string | null;
  reached: boolean | null;
  pairRatios: number[];
  cpuSecondsPerGB: Side;
  peakBytes: Side;
  more: Record<string, Side>;
  remark: string | null;
}

export interface CaseOptions {
  row: number;
  case: string;
  peerName: string;
  unit: string;
  goal: { most: number } | { least: number } | null;
  pairs: number;
  ours(pair: number): Promise<Measured>;
  peer(pair: number): Promise<Measured>;
}

export async function compare(options: CaseOptions): Promise<CaseResult> {
  const { row, peerName, unit, goal, pairs } = options;
  const ours: Measured[] = [];
  const peer: Measured[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    ours.push(await options.ours(pair));
    peer.push(await options.peer(pair));
    process.stderr.write(
      `  row ${row} ${options.case} vs ${peerName}, pair ${pair + 1}/${pairs}: ${brief(ours, peer, unit)}\n`,
    );
  }
  const pairRatios = ours.map((one, at) => one.value / (peer[at]?.value ?? NaN));
  const ratio = median(pairRatios);
  const side = (figure: (one: Measured) => number): Side => ({
    ours: median(ours.map(figure)),
    peer: median(peer.map(figure)),
  });
  const names = Object.keys(ours[0]?.more ?? {});
  return {
    row,
    case: options.case,
    ...side(({ value }) => value),
    peerName,
    ratio,
    unit,
    goal: goal === null ? null : spellGoal(goal),
    reached: goal === null ? null : 'least' in goal ? ratio >= goal.least : ratio <= goal.most,
    pairRatios,
    cpuSecondsPerGB: side(({ cpuSeconds, bytes }) => cpuSeconds / (bytes / 1e9)),
    peakBytes: {
      ours: Math.max(...ours.map(({ peakBytes }) => peakBytes)),
      peer: Math.max(...peer.map(({ peakBytes }) => peakBytes)),
    },
    more: Object.fromEntries(names.map((name) => [name, side(({ more }) => more?.[name] ?? NaN)])),
    remark: ours.at(-1)?.remark ?? null,
  };
}

/** Usage of a process between two moments: processor time as a difference, memory as its peak so far. */
export async function measureUsage<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ result: T; usage: Usage }> {
  const before = usageOf(pid);
  const result = await work();
  const after = usageOf(pid);
  return { result, usage: { cpuSeconds: after.cpuSeconds - before.cpuSeconds, peakBytes: after.peakBytes } };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1] ?? NaN, sorted[Math.floor(middle)] ?? NaN];
  return (low + high) / 2;
}

const spellGoal = (goal: { most: number } | { least: number }): string =>
  'least' in goal ? `≥ ${spellFigure(goal.least)}` : `≤ ${spellFigure(goal.most)}`;
const spellFigure = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : String(value));

/** For goals that are figures and not another program: the ratio is to what is asked for. */
export const askedFor = (value: number): Promise<Measured> =>
  Promise.resolve({ value, bytes: 1, cpuSeconds: 0, peakBytes: 0 });

function brief(ours: readonly Measured[], peer: readonly Measured[], unit: string): string {
  const a = ours.at(-1);
  const b = peer.at(-1);
  if (a === undefined || b === undefined) return '';
  const remark = a.remark === undefined ? '' : ` (${a.remark})`;
  const values = `${a.value.toPrecision(4)} / ${b.value.toPrecision(4)} ${unit}`;
  return `${values} = ${(a.value / b.value).toFixed(2)}${remark}`;
}

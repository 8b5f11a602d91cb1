// `homeward protect` and `unprotect`: which hosts keep the writes of a machine, and how.
import type { ProtectReport } from '../../config-server/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { formatSize, parseDuration } from '../../core/units.ts';
import { parseSeed, splitOperands } from '../operands.ts';
import type { Verb } from '../session.ts';
import { formatFields, formatSeconds } from '../table.ts';
import { formatDisks } from './ingest.ts';

export interface ProtectOptions {
  masterTarget?: string;
  processServer?: string;
  window?: string;
  consistencyInterval?: string;
  seed?: string[];
  disk?: string[];
}

export const protect: Verb<ProtectOptions> = async (session, operands, options) => {
  const { machine, more } = splitOperands(operands, '--seed');
  const { masterTarget, processServer, window, consistencyInterval, disk: disks } = options;
  const seeds = [...(options.seed ?? []), ...more].map(parseSeed);
  const report = await session.withServer((server) =>
    server.protect({
      ...{ machine, masterTarget, processServer, disks },
      windowMs: window === undefined ? undefined : windowOf(window),
      consistencyIntervalMs: consistencyInterval === undefined ? undefined : intervalOf(consistencyInterval),
      seeds: seeds.length === 0 ? undefined : seeds,
    }),
  );
  session.result(report, () => formatProtected(report));
};

export const unprotect: Verb<object> = async (session, [machine = '']) => {
  const report = await session.withServer((server) => server.unprotect(machine));
  session.result(report, () =>
    report.changed
      ? `${report.machine} is not protected any more; what there is of it stays\n`
      : `${report.machine} was not protected\n`,
  );
};

const windowOf = (text: string): number =>
  within('--window', text, limits.windowLeastMs, limits.windowMostMs);
const intervalOf = (text: string): number =>
  within('--consistency-interval', text, limits.consistencyIntervalLeastMs, limits.windowMostMs);

/** Milliseconds. What is outside of the window is given up, so one that cannot be meant is refused. */
function within(flag: string, text: string, leastMs: number, mostMs: number): number {
  const ms = Math.round(parseDuration(text));
  if (ms >= leastMs && ms <= mostMs) return ms;
  const range = `from ${formatSeconds(leastMs / 1000)} to ${formatSeconds(mostMs / 1000)}`;
  throw new HomewardError('usage', `${flag} ${text} is not ${range}`);
}

/** What is sent is known when it has been compared: `homeward status` says it then. */
function formatSeed({ path, format, bytes, storedBytes, seconds }: ProtectReport['seeds'][number]): string {
  const what = `${path} (${format})`;
  if (bytes === undefined || storedBytes === undefined || seconds === undefined) return what;
  const stored = `${formatSize(storedBytes)} stored of ${formatSize(bytes)}`;
  return `${what}, ${stored}; compared in about ${formatSeconds(seconds)}, then only what differs is sent`;
}

function formatProtected(report: ProtectReport): string {
  const { machine, epoch, changed, processServer, masterTarget, disks, seeds } = report;
  const title = changed ? `${machine} is protected, epoch ${epoch}` : `${machine} was protected so already`;
  const fields: [string, string][] = [
    ['process server', `${processServer.name} at ${processServer.addresses.join(', ')}`],
    ['master target', masterTarget.name],
    ['disks', formatDisks(disks)],
    ['window', formatSeconds(report.windowMs / 1000)],
    ['tagged every', formatSeconds(report.consistencyIntervalMs / 1000)],
    ...seeds.map((seed): [string, string] => [`seed of ${seed.disk}`, formatSeed(seed)]),
  ];
  return `${title}\n${formatFields(fields)}`;
}

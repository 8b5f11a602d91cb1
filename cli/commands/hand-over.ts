// `homeward hand-over`: a machine goes on from where it is pinned, here or at somebody else's.
import readline from 'node:readline/promises';
import type {
  HandOverPlan,
  HandOverReport,
  HandOverRequest,
  HandOverTarget,
  PointSpan,
} from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { parseAt, required, resolveListen } from '../operands.ts';
import { withProgress } from '../progress.ts';
import type { Session, Verb } from '../session.ts';
import { formatAsked, formatFields, formatMoment, formatTable, type Column } from '../table.ts';
import { nbdUri } from './ingest.ts';

export interface HandOverOptions {
  at?: string;
  run?: string;
  release?: string;
  plan?: boolean;
  yes?: boolean;
  sourceIsOff?: boolean;
  allowDamaged?: boolean;
}

export const handOver: Verb<HandOverOptions> = async (session, [machine = ''], options) => {
  const { sourceIsOff = false, allowDamaged = false } = options;
  const { at, shown } = options.at === undefined ? { at: undefined, shown: null } : parseAt(options.at);
  const to = targetOf(options, session);
  const request: HandOverRequest = { machine, to, sourceIsOff, allowDamaged, at };
  await session.withClient(async (client) => {
    const plan = await client.planHandOver(request);
    if (options.plan) {
      session.result(plan, () => formatAsked(shown) + formatPlan(plan));
      return;
    }
    // What would be refused need not be asked for.
    const isRefused = plan.source.connected && !sourceIsOff && plan.stage === 'new';
    if (!options.yes && !isRefused && plan.stage === 'new') await confirm(session, plan);
    const signal = session.io.interrupts();
    // By its LSN from here on: `latest` may have moved on while the question stood there.
    const fixed = { ...request, lsn: plan.lsn, ...(at !== undefined && { at: `lsn:${plan.lsn}` }) };
    const report = await withProgress(session, (progress) => client.handOver(fixed, progress, signal), true);
    if (session.json) session.jsonLine({ result: report });
    else session.result(report, () => formatDone(report));
  });
};

function targetOf({ run, release }: HandOverOptions, session: Session): HandOverTarget {
  if ((run === undefined) === (release === undefined))
    throw new HomewardError('usage', 'give either --run LISTEN or --release NAME');
  if (run !== undefined)
    return { kind: 'run', listen: resolveListen(required(run, '--run'), session.resolve) };
  return { kind: 'release', name: required(release, '--release') };
}

/** Shows what is given up and waits for a yes; whoever cannot be asked needs --yes. */
async function confirm(session: Session, plan: HandOverPlan): Promise<void> {
  const { io } = session;
  const { machine, to } = plan;
  if (!io.interactive || session.json) {
    const what =
      to.kind === 'release'
        ? `the history of ${machine} would end`
        : `${machine} would run here, and its source be refused`;
    throw new HomewardError('needs-yes', what);
  }
  io.stderr.write(formatPlan(plan));
  const prompt = readline.createInterface({ input: io.stdin, output: io.stderr });
  const answer = await prompt.question('Go on? (yes/no) ', { signal: io.interrupts() }).catch(() => 'no');
  prompt.close();
  if (!/^y(es)?$/i.test(answer.trim()))
    throw new HomewardError('interrupted', 'not handed over', { hint: 'Nothing was changed.' });
}

const columns: Column<HandOverPlan['disks'][number]>[] = [
  { title: 'DISK', cell: ({ name }) => name },
  { title: 'SIZE', right: true, cell: ({ size }) => formatSize(size) },
  { title: 'REPLICA', cell: ({ replica }) => replica },
];

export function formatPlan(plan: HandOverPlan): string {
  const { machine, to, source, stage } = plan;
  const title = `Machine ${machine} goes on from ${formatMoment(plan)}\n`;
  if (stage === 'done') return `${title}That was done before; nothing is left to do.\n`;
  const what =
    to.kind === 'run'
      ? `It runs here, on ${to.listen}; every point of before stays.\n`
      : `Its replicas are given to ${to.name}, and its history here ENDS: no point is left.\n` +
        formatSpan('Given up', plan.givesUp) +
        formatSpan('Closed', plan.closes);
  const connected = source.connected ? 'STILL CONNECTED; give --source-is-off once it is off; ' : '';
  const begun = stage === 'resumes' ? 'It was begun before, and is ended now.\n' : '';
  return `${title}${begun}${what}Source: ${connected}${source.fencedBy}\n${formatTable(columns, plan.disks)}`;
}

function formatSpan(what: string, span: PointSpan | null): string {
  if (span === null) return '';
  const { count, from, to, tags } = span;
  const names = tags.map(({ name }) => name);
  const named = names.length === 0 ? '' : `; tags ${names.join(', ')}`;
  return `${what}: ${count} points, ${formatMoment(from)} to ${formatMoment(to)}${named}\n`;
}

function formatDone(report: HandOverReport): string {
  const { machine, to, changed, exports, bytesWritten, damaged } = report;
  const zeros = damaged
    .map(
      ({ disk, start, end }) =>
        `Disk ${disk}, bytes ${start} to ${end}: damaged or unknown, and zeros now.\n`,
    )
    .join('');
  if (to.kind === 'release')
    return (
      `${machine} as of ${formatMoment(report)} belongs to ${to.name} now; its history here has ended\n` +
      formatTable(columns, report.disks)
    );
  const fields = formatFields(exports.map((name) => [name, nbdUri(to.listen, name)] as const));
  if (!changed) return `${machine} runs here already, on ${to.listen}\n${fields}`;
  const wrote = bytesWritten === 0 ? '' : `; ${formatSize(bytesWritten)} were written back`;
  return `${machine} runs here from ${formatMoment(report)} on, on ${to.listen}${wrote}\n${fields}${zeros}`;
}

// `homeward recover`: a machine's disks as of a moment, into files or onto devices.
import readline from 'node:readline/promises';
import {
  refuseIdleOptions,
  type ControlClient,
  type DiskRange,
  type RecoverPlan,
  type RecoverReport,
  type RecoverRequest,
} from '../../agent/control/client.ts';
import { ExitStatus, HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { parseAt, parseTarget, splitOperands } from '../operands.ts';
import { withProgress } from '../progress.ts';
import type { Session, Verb } from '../session.ts';
import { formatAsked, formatMoment, formatSeconds, formatTable, type Column } from '../table.ts';

export interface RecoverOptions {
  at?: string;
  to?: string[];
  plan?: boolean;
  yes?: boolean;
  overwriteDisk?: string[];
  fresh?: boolean;
  verify?: boolean;
  allowDamaged?: boolean;
}

export const recover: Verb<RecoverOptions> = async (session, operands, options) => {
  const { machine, more } = splitOperands(operands, '--to');
  const { at, shown } = parseAt(options.at);
  const request: RecoverRequest = {
    machine,
    at,
    target: parseTarget(options.to ?? [], more, session.resolve),
    overwrite: options.overwriteDisk ?? [],
    fresh: options.fresh ?? false,
    verify: options.verify ?? false,
    allowDamaged: options.allowDamaged ?? false,
  };
  refuseIdleOptions(request);
  return session.withClient(async (client) => {
    if (options.plan) {
      const plan = await client.planRecovery({ ...request, count: true });
      session.result(plan, () => formatPlan(plan, shown));
      return ExitStatus.done;
    }
    const plan = await client.planRecovery(request);
    if (request.target.kind === 'block' && !options.yes) await confirm(session, plan, shown);
    // By its LSN from here on: `latest` may have moved on while the question stood there.
    const fixed = { ...request, at: `lsn:${plan.lsn}` };
    return execute(session, client, fixed, { shown, plan });
  });
};

/** Shows what would be written over and waits for a yes; whoever cannot be asked needs --yes. */
async function confirm(session: Session, plan: RecoverPlan, shown: string | null): Promise<void> {
  const { io } = session;
  const devices = plan.disks.map((disk) => disk.to).join(', ');
  if (!io.interactive || session.json) {
    throw new HomewardError('needs-yes', `everything on ${devices} would be overwritten`);
  }
  io.stderr.write(formatPlan(plan, shown) + `Everything on ${devices} will be overwritten.\n`);
  const prompt = readline.createInterface({ input: io.stdin, output: io.stderr });
  const answer = await prompt.question('Go on? (yes/no) ', { signal: io.interrupts() }).catch(() => 'no');
  prompt.close();
  if (!/^y(es)?$/i.test(answer.trim())) {
    throw new HomewardError('interrupted', 'not recovered', { hint: 'Nothing was written.' });
  }
}

/** The request names the LSN of the plan, which has the time that was asked for. */
async function execute(
  session: Session,
  client: ControlClient,
  request: RecoverRequest,
  { shown, plan }: { shown: string | null; plan: RecoverPlan },
): Promise<ExitStatus> {
  const signal = session.io.interrupts();
  try {
    const done = await withProgress(session, (progress) => client.recover(request, progress, signal), true);
    const report = { ...done, asked: plan.asked };
    if (session.json) session.jsonLine({ result: report });
    else session.result(report, () => formatRecovered(report, shown));
    return (report.differing ?? []).length > 0 ? ExitStatus.found : ExitStatus.done;
  } catch (error) {
    if (!signal.aborted) throw error;
    const devices = request.target.kind === 'block' ? '; the devices hold parts of the machine only' : '';
    const message = `the recovery as of lsn:${plan.lsn} was interrupted${devices}`;
    throw new HomewardError('interrupted', message, {
      cause: error,
      hint:
        `Run it again with --at lsn:${plan.lsn} to go on where it was, or with --fresh to begin anew. ` +
        'The journal is untouched.',
    });
  }
}

type PlannedDisk = RecoverPlan['disks'][number];

const columns: Column<PlannedDisk>[] = [
  { title: 'DISK', cell: (disk) => disk.name },
  { title: 'SIZE', right: true, cell: (disk) => formatSize(disk.size) },
  { title: 'FORMAT', cell: (disk) => disk.format },
  { title: 'TO', cell: (disk) => disk.to },
];
const found: Column<PlannedDisk> = { title: 'FOUND THERE', cell: (disk) => disk.found ?? 'nothing' };
const data: Column<PlannedDisk> = { title: 'DATA', right: true, cell: (disk) => formatBytes(disk.dataBytes) };
const free: Column<PlannedDisk> = { title: 'ROOM', right: true, cell: (disk) => formatBytes(disk.freeBytes) };

const formatBytes = (bytes: number | undefined): string => (bytes === undefined ? '-' : formatSize(bytes));

export function formatPlan(plan: RecoverPlan, shown: string | null): string {
  const title = `Machine ${plan.machine} as of ${formatMoment(plan)}\n`;
  const resumed = plan.disks.filter(({ resumes }) => resumes !== undefined);
  const lines = resumed.map(
    ({ name, resumes = 0 }) =>
      `${name} goes on where it was interrupted, at ${Math.floor(resumes * 100)} %.\n`,
  );
  const table = formatTable([...columns, data, free, found], plan.disks);
  return title + formatAsked(shown) + table + lines.join('') + formatLeft(plan);
}

const formatLeft = ({ left = [] }: RecoverPlan): string =>
  left.length === 0
    ? ''
    : `NOT among them: ${left.join(', ')}. Name a device for each that is wanted.
`;

function formatRecovered(report: RecoverReport, shown: string | null): string {
  const { machine, disks, bytesWritten, seconds } = report;
  const sum = `${formatSize(bytesWritten)} written in ${formatSeconds(seconds)}`;
  const differing = report.differing ?? [];
  const done = differing.length > 0 ? 'NOT recovered' : 'Recovered';
  const title = `${done} ${machine} as of ${formatMoment(report)}: ${sum}\n`;
  const read = report.differing?.length === 0 ? 'Read back: everything is the same.\n' : '';
  const wrong = formatRanges(
    'reads back different: the target does not keep what is written to it',
    differing,
  );
  const zeros = formatRanges('damaged or unknown, and zeros there', report.damaged ?? []);
  return title + formatAsked(shown) + formatTable(columns, disks) + formatLeft(report) + read + wrong + zeros;
}

const rangesShown = 20;

function formatRanges(what: string, ranges: readonly DiskRange[]): string {
  const lines = ranges
    .slice(0, rangesShown)
    .map(({ disk, start, end }) => `Disk ${disk}, bytes ${start} to ${end}: ${what}.\n`);
  const more = ranges.length - lines.length;
  return lines.join('') + (more > 0 ? `And ${more} more such places; --json lists them all.\n` : '');
}

// `homeward recover`: a machine's disks as of a moment, into files or onto devices.
import readline from 'node:readline/promises';
import type {
  ControlClient,
  RecoverPlan,
  RecoverReport,
  RecoverRequest,
} from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
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
}

export const recover: Verb<RecoverOptions> = async (session, operands, options) => {
  const { machine, more } = splitOperands(operands, '--to');
  const { at, shown } = parseAt(options.at);
  const request: RecoverRequest = {
    machine,
    at,
    target: parseTarget(options.to ?? [], more, session.resolve),
    overwrite: options.overwriteDisk ?? [],
  };
  await session.withClient(async (client) => {
    if (options.plan) {
      const plan = await client.planRecovery(request);
      session.result(plan, () => formatPlan(plan, shown));
    } else if (request.target.kind === 'block') {
      const plan = await client.planRecovery(request);
      if (!options.yes) await confirm(session, plan, shown);
      // By its LSN from here on: `latest` may have moved on while the question stood there.
      const fixed = { ...request, at: `lsn:${plan.lsn}` };
      await execute(session, client, fixed, { shown, asked: plan.asked });
    } else {
      await execute(session, client, request, { shown });
    }
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

/** `asked` is what the plan said, when the request names its LSN in place of the time. */
async function execute(
  session: Session,
  client: ControlClient,
  request: RecoverRequest,
  { shown, ...plan }: { shown: string | null; asked?: string | null },
): Promise<void> {
  const signal = session.io.interrupts();
  try {
    const done = await withProgress(session, (progress) => client.recover(request, progress, signal), true);
    const report = { ...done, ...plan };
    if (session.json) return session.jsonLine({ result: report });
    session.result(report, () => formatRecovered(report, shown));
  } catch (error) {
    if (!signal.aborted || request.target.kind !== 'block') throw error;
    throw new HomewardError(
      'interrupted',
      'the recovery was interrupted; the devices hold parts of the machine only',
      {
        cause: error,
        hint: 'Run the same command again to write them from the beginning. The journal is untouched.',
      },
    );
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

export function formatPlan(plan: RecoverPlan, shown: string | null): string {
  const title = `Machine ${plan.machine} as of ${formatMoment(plan)}\n`;
  return title + formatAsked(shown) + formatTable([...columns, found], plan.disks);
}

function formatRecovered(report: RecoverReport, shown: string | null): string {
  const { machine, disks, bytesWritten, seconds } = report;
  const sum = `${formatSize(bytesWritten)} written in ${formatSeconds(seconds)}`;
  const title = `Recovered ${machine} as of ${formatMoment(report)}: ${sum}\n`;
  return title + formatAsked(shown) + formatTable(columns, disks);
}

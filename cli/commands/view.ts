// `homeward view`, `view close` and `views`: disks as of a moment, served without copying.
import type { ViewReport, ViewRequest } from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { parseSize } from '../../core/units.ts';
import { parseAt, parseFor, required, resolveListen } from '../operands.ts';
import type { Verb } from '../session.ts';
import { formatAsked, formatFields, formatMoment, formatTable } from '../table.ts';
import { nbdUri } from './ingest.ts';

export interface ViewOptions {
  at?: string;
  listen?: string;
  writable?: boolean;
  scratch?: string;
  tls?: boolean;
  for?: string;
  mount?: string;
}

export const view: Verb<ViewOptions> = async (session, [machine], options) => {
  if (machine === undefined) throw new HomewardError('usage', 'the machine is missing');
  const { at, shown } = parseAt(options.at);
  if (options.mount !== undefined) {
    const directory = session.resolve(refuseBesideMount(options));
    const { mountView } = await import('./mount.ts');
    const leaseMs = parseFor(options.for);
    return mountView(session, { view: { machine, at, leaseMs }, shown, directory });
  }
  const request: ViewRequest = {
    machine,
    at,
    listen: resolveListen(required(options.listen, '--listen (or --mount)'), session.resolve),
    writable: options.writable ?? false,
    leaseMs: parseFor(options.for),
    ...parseScratch(options),
    ...(options.tls ? { tls: true } : {}),
  };
  const report = await session.withClient((client) => client.openView(request));
  session.result(report, () => {
    const end = report.expiresAt === null ? [] : [['until', report.expiresAt] as const];
    const exports = report.exports.map((name) => [name, nbdUri(report.listen, name)] as const);
    const title = `View ${report.id} of ${report.machine} as of ${formatMoment(report)}`;
    return `${title}\n${formatAsked(shown)}${formatFields([...exports, ...end])}`;
  });
  if (report.use !== undefined)
    session.note(['To reach it:', ...report.use].map((line) => `${line}\n`).join(''));
};

/** The socket and the scratch of a mount are its own. */
function refuseBesideMount({ mount, listen, writable, scratch, tls }: ViewOptions): string {
  if ([listen, writable, scratch, tls].some((option) => option !== undefined))
    throw new HomewardError('usage', '--mount goes with --at and --for alone');
  return required(mount, '--mount');
}

/** What was not asked for is not sent. */
function parseScratch({ scratch, writable }: ViewOptions): { scratchBytes?: number } {
  if (scratch === undefined) return {};
  if (!writable) throw new HomewardError('usage', '--scratch goes with --writable');
  const scratchBytes = parseSize(scratch);
  if (scratchBytes === 0) throw new HomewardError('usage', `--scratch ${scratch} is no space at all`);
  return { scratchBytes };
}

export const views: Verb<object> = async (session) => {
  const open = await session.withClient((client) => client.listViews());
  session.result({ views: open }, () => (open.length === 0 ? 'No view is open\n' : formatViews(open)));
};

export interface ViewCloseOptions {
  at?: string;
  all?: boolean;
}

/** ID alone, or a machine with --at or --all: a view and a machine may bear the same name. */
export const viewClose: Verb<ViewCloseOptions> = async (session, [name = ''], { at, all }) => {
  if (at !== undefined && all) throw new HomewardError('usage', 'give --at or --all, not both');
  const which =
    at === undefined && !all ? { id: name } : { machine: name, at: at === undefined ? null : parseAt(at).at };
  const closed = await session.withClient((client) => client.closeViews(which));
  session.result({ closed }, () =>
    closed.length === 0
      ? 'No view was open\n'
      : closed.map((report) => `Closed view ${report.id} of ${report.machine}\n`).join(''),
  );
};

function formatViews(open: readonly ViewReport[]): string {
  return formatTable(
    [
      { title: 'ID', cell: (report) => report.id },
      { title: 'MACHINE', cell: (report) => report.machine },
      { title: 'LSN', right: true, cell: (report) => String(report.lsn) },
      { title: 'TIME', cell: (report) => report.time ?? '-' },
      { title: 'LISTEN', cell: (report) => report.listen },
      { title: 'EXPORTS', cell: (report) => report.exports.join(', ') },
      { title: 'WRITABLE', cell: (report) => (report.writable ? 'yes' : 'no') },
      { title: 'UNTIL', cell: (report) => report.expiresAt ?? '-' },
    ],
    open,
  );
}

// `homeward ingest open|seeded|close`: where writers bring their writes.
import { formatSize } from '../../core/units.ts';
import { parseDisks, required, resolveListen, splitOperands } from '../operands.ts';
import type { Verb } from '../session.ts';
import { formatFields, formatMoment } from '../table.ts';

export interface IngestOpenOptions {
  disk?: string[];
  listen?: string;
  seeding?: boolean;
}

export const ingestOpen: Verb<IngestOpenOptions> = async (session, operands, options) => {
  const { machine, more } = splitOperands(operands, '--disk');
  const disks = parseDisks([...(options.disk ?? []), ...more], session.resolve);
  const listen = resolveListen(required(options.listen, '--listen'), session.resolve);
  const request = { machine, disks, listen, seeding: options.seeding ?? false };
  const report = await session.withClient((client) => client.openIngest(request));
  session.result(report, () => {
    const what = report.changed ? 'is open for writing' : 'was open for writing already';
    const exports = report.exports.map((name) => [name, nbdUri(report.listen, name)] as const);
    const next = report.seeding
      ? `When the first copy has ended: homeward ingest seeded ${report.machine}\n`
      : '';
    const title = `Machine ${report.machine} (${report.id}) ${what} on ${report.listen}`;
    return `${title}\n${formatFields(exports)}${next}`;
  });
};

export const ingestSeeded: Verb<object> = async (session, [machine = '']) => {
  const report = await session.withClient((client) => client.seeded(machine));
  session.result(
    report,
    () => `The first copy of ${report.machine} has ended; its first point is ${formatMoment(report)}\n`,
  );
};

export const ingestClose: Verb<object> = async (session, [machine = '']) => {
  const report = await session.withClient((client) => client.closeIngest(machine));
  session.result(report, () =>
    report.changed
      ? `Machine ${report.machine} takes no more writes; its points stay\n`
      : `Machine ${report.machine} was closed already\n`,
  );
};

/** How NBD clients spell an export, where that can be said without knowing of certificates. */
export function nbdUri(listen: string, name: string): string {
  if (!listen.startsWith('unix:')) return `${listen}, export ${name}`;
  return `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURI(listen.slice('unix:'.length))}`;
}

/** `root 20 GiB, data 1 TiB` */
export function formatDisks(disks: readonly { name: string; size: number }[]): string {
  return disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', ');
}

// `homeward verify`: reads a machine's history and says what of it is damaged.
import type { VerifyReport } from '../../agent/control/client.ts';
import { ExitStatus, HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { parseFor, parsePart } from '../operands.ts';
import { withProgress } from '../progress.ts';
import type { Verb } from '../session.ts';
import { formatTable } from '../table.ts';

export interface VerifyOptions {
  part?: string;
  for?: string;
}

export const verify: Verb<VerifyOptions> = async (session, [machine = ''], options) => {
  const request = {
    machine,
    part: options.part === undefined ? null : parsePart(options.part),
    forMs: parseFor(options.for),
  };
  const signal = session.io.interrupts();
  const report = await session
    .withClient((client) => withProgress(session, (progress) => client.verify(request, progress, signal)))
    .catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw new HomewardError('interrupted', 'the verification was interrupted; it changes nothing', {
        cause: error,
        hint: 'Run the same command again, or in parts with --part n/t or --for 1h.',
      });
    });
  if (session.json) session.jsonLine({ result: report });
  else session.result(report, () => formatVerified(report));
  return report.ok ? ExitStatus.done : ExitStatus.found;
};

const notCovered =
  'The replica, which holds what is older than the window, has no checksums in this version.\n';

function formatVerified({ machine, ok, covered, damaged }: VerifyReport): string {
  const { records, bytes, fromLsn, toLsn, complete } = covered;
  const rest = complete ? '' : ', not all there is';
  const read = `${records} records, ${formatSize(bytes)}, LSN ${fromLsn} to ${toLsn}${rest}`;
  if (ok) return `The journal of machine ${machine} is sound: ${read}\n${notCovered}`;
  return (
    `The journal of machine ${machine} is damaged: ${read}\n` +
    formatTable(
      [
        { title: 'FILE', cell: (damage) => damage.file },
        { title: 'DISK', cell: (damage) => damage.disk ?? '-' },
        {
          title: 'BYTES',
          cell: ({ start, end }) => (start === null || end === null ? '-' : `[${start}, ${end})`),
        },
        {
          title: 'LSN',
          cell: ({ fromLsn: from, toLsn: to }) => (from === to ? String(from) : `${from} to ${to}`),
        },
        { title: 'WHAT', cell: (damage) => damage.what },
      ],
      damaged,
    )
  );
}

// `homeward points`: the moments that a machine can be brought back to.
import type { PointsReport } from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
import type { Verb } from '../session.ts';
import { formatFields, formatMoment, formatTable } from '../table.ts';

export const points: Verb<object> = async (session, [machine = '', ...more]) => {
  if (more.length > 0 || machine.startsWith('-')) throw refuseMore(machine, more);
  const report = await session.withClient((client) => client.points(machine));
  session.result(report, () => formatPoints(report));
};

function refuseMore(first: string, more: readonly string[]): HomewardError {
  if (first === 'lock' || first === 'unlock')
    return new HomewardError('not-in-this-version', `\`homeward points ${first}\` is not in this version`);
  const option = [first, ...more].find((each) => each.startsWith('-'));
  if (option !== undefined) return new HomewardError('usage', `unknown option '${option}'`);
  return new HomewardError('usage', `"${more[0]}" is one too many: points takes the machine alone`);
}

/** What a point of the window is. */
function formatKind({ scan }: PointsReport): string {
  if (scan === undefined) return 'every write in this window is a point';
  const last = scan.lastTime === null ? '' : `; the last one began to read at ${scan.lastTime}`;
  if (scan.only) return `it is scanned: the points of this window are the ends of scans${last}`;
  return `every write in this window is a point, scanned disks as the last scan found them${last}`;
}

export function formatPoints(report: PointsReport): string {
  const { machine, window, gaps, tags, kept } = report;
  if (window === null) return `Machine ${machine} has no point yet\n`;
  let text =
    `Machine ${machine}: ${formatKind(report)}\n` +
    formatFields([
      ['from', formatMoment(window.from)],
      ['to', formatMoment(window.to)],
    ]);
  if (gaps.length > 0) {
    text +=
      '\nGaps, without points inside\n' +
      formatTable(
        [
          { title: 'FROM', right: true, cell: (gap) => String(gap.from) },
          { title: 'TO', right: true, cell: (gap) => (gap.to === null ? 'now' : String(gap.to)) },
          { title: 'FROM TIME', cell: (gap) => gap.fromTime },
          { title: 'TO TIME', cell: (gap) => gap.toTime ?? 'now' },
          { title: 'REASON', cell: (gap) => gap.reason },
        ],
        gaps,
      );
  }
  if (tags.length > 0) {
    text +=
      '\nTags\n' +
      formatTable(
        [
          { title: 'LSN', right: true, cell: (tag) => String(tag.lsn) },
          { title: 'TIME', cell: (tag) => tag.time },
          { title: 'CONSISTENCY', cell: (tag) => tag.consistency },
          { title: 'NAME', cell: (tag) => tag.name },
        ],
        tags,
      );
  }
  if (kept.length > 0) {
    text +=
      '\nKept points\n' +
      formatTable(
        [
          { title: 'LSN', right: true, cell: (moment) => String(moment.lsn) },
          { title: 'TIME', cell: (moment) => moment.time ?? '-' },
        ],
        kept,
      );
  }
  return text;
}

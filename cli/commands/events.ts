// `homeward events`: what the configuration server has noted, the newest last.
import type { EventReport } from '../../config-server/client.ts';
import { parseCount } from '../operands.ts';
import type { Verb } from '../session.ts';
import { formatTable } from '../table.ts';

export interface EventsOptions {
  limit?: string;
  after?: string;
}

const usualLimit = 100;

export const events: Verb<EventsOptions> = async (session, _operands, { limit, after }) => {
  const asked = {
    limit: limit === undefined ? usualLimit : parseCount(limit, '--limit', 1),
    ...(after === undefined ? {} : { after: parseCount(after, '--after', 0) }),
  };
  const found = await session.withServer((server) => server.events(asked));
  session.result({ events: found }, () => formatEvents(found));
};

export function formatEvents(found: readonly EventReport[]): string {
  if (found.length === 0) return 'Nothing has happened\n';
  return formatTable(
    [
      { title: 'ID', right: true, cell: ({ id }) => String(id) },
      { title: 'TIME', cell: ({ time }) => time },
      { title: 'SEVERITY', cell: ({ severity }) => severity },
      { title: 'EVENT', cell: ({ kind }) => kind },
      { title: 'WHAT', cell: ({ message }) => message },
    ],
    found,
  );
}

// `homeward resync`: has the source of a machine compare extents with the master target, and send what
// differs.
import type { ResyncExtent, ResyncReport } from '../../config-server/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { checkDiskName } from '../../core/names.ts';
import { formatSize } from '../../core/units.ts';
import type { Verb } from '../session.ts';

export interface ResyncOptions {
  extent?: string[];
  damaged?: boolean;
}

export const resync: Verb<ResyncOptions> = async (session, [machine = ''], options) => {
  const given = (options.extent ?? []).map(parseExtent);
  if (given.length > 0 === (options.damaged === true))
    throw new HomewardError('usage', 'name the extents with --extent, or say --damaged', {
      hint: '`homeward verify M` says which are damaged, and the command for just those.',
    });
  const report = await session.withServer(async (server) => {
    const extents = given.length > 0 ? given : (await server.control.damage(machine)).extents;
    return extents.length === 0 ? null : server.resync(machine, extents);
  }, withoutSource);
  session.result(report ?? { machine, extents: [], regions: 0, bytes: 0, whole: false, state: 'none' }, () =>
    report === null ? nothing(machine) : formatResync(report),
  );
};

const withoutSource =
  ' A machine with direct ingest has no source to ask: what writes to it has to write these bytes again.';

const nothing = (machine: string): string =>
  `Nothing is known that ${machine} lacks at its newest moment; ` +
  `\`homeward verify ${machine}\` looks for it.\n`;

/** `DISK:START-END`, bytes [START, END). */
export function parseExtent(text: string): ResyncExtent {
  const [, disk = '', start = '', end = ''] = /^(.+):(\d{1,15})-(\d{1,15})$/.exec(text) ?? [];
  const extent = { start: Number(start), end: Number(end) };
  if (disk === '' || extent.start >= extent.end)
    throw new HomewardError('usage', `"${text}" is no extent`, {
      hint: 'Write DISK:START-END in bytes, for example disk:1048576-1052672; END itself is not in it.',
    });
  return { disk: checkDiskName(disk), ...extent };
}

const states = {
  begun: 'It begins now.',
  joined: 'The sync that goes on takes it in.',
  waits: 'It begins when the source reaches its process server.',
} as const;

export function formatResync({ machine, regions, bytes, whole, state }: ResyncReport): string {
  const what = whole ? 'all of it, since a disk is scanned' : `${regions} regions of 4 MiB`;
  return (
    `${machine} is compared with its source: ${what}, ${formatSize(bytes)}; what differs is sent.\n` +
    `${states[state]} \`homeward status\` shows how far it is.\n`
  );
}

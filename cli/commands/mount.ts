// `homeward view … --mount DIR`: the files of a moment, read-only, until Ctrl-C or `view close`.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { OpenedView, ViewRequest } from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { endOf, firstLease, keepLease } from '../mount/lease.ts';
import { leftBehind } from '../mount/left-behind.ts';
import { mountDisks, Undo, type MountedDisk } from '../mount/mounted-disks.ts';
import { watchExport } from '../mount/watch-export.ts';
import type { Session } from '../session.ts';
import { formatAsked, formatFields, formatMoment } from '../table.ts';
import { nbdUri } from './ingest.ts';

export interface MountRequest {
  view: Pick<ViewRequest, 'machine' | 'at' | 'leaseMs'>;
  shown: string | null;
  directory: string;
}

/**
 * The order: 1 view on a socket of its own, with a lease that we renew · 2 a file for each disk, by nbdfuse ·
 * 3 their file systems. It is taken apart the other way round, whatever ends it: after a kill -9 by a guard,
 * and the view goes with its lease.
 */
export async function mountView(session: Session, { view, shown, directory }: MountRequest): Promise<void> {
  const signal = session.io.interrupts();
  // Beside the socket of the daemon: both have to reach it there.
  const socket = path.join(
    path.dirname(session.controlPath()),
    `mount-${randomBytes(4).toString('hex')}.sock`,
  );
  const undo = new Undo();
  const whyNot = whyNoFileSystems();
  await checkEmpty(directory);
  try {
    // Written to only by the file systems themselves, which replay their journals.
    const asked = view.leaseMs;
    const request = {
      ...{ ...view, leaseMs: firstLease(asked), listen: `unix:${socket}` },
      ...{ writable: whyNot === null, temporary: true },
    };
    const opened = await session.withClient((client) => client.openView(request));
    const report = { ...opened, expiresAt: endOf(opened.expiresAt, asked) };
    // A daemon that was killed leaves it.
    undo.push(() => fs.rmSync(socket, { force: true }));
    let isOver = false;
    undo.push(() => (isOver ? undefined : closeView(session, report)));
    const lease = keepLease({ id: report.id, asked }, session.withClient);
    undo.push(() => lease.close());
    undo.makeDirectory(directory);
    const images = whyNot === null ? fs.mkdtempSync(path.join(os.tmpdir(), 'homeward-')) : null;
    if (images !== null) undo.madeDirectory(images);
    const watch = watchExport(socket, report.exports[0] ?? '');
    undo.push(() => watch.close());
    const disks = report.exports.map((name) => ({ name, uri: nbdUri(report.listen, name) }));
    const mounted = await mountDisks({ directory, images, disks, signal }, undo);
    session.result({ ...report, directory, disks: mounted, whyNoFileSystems: whyNot }, () =>
      formatMounted(report, { shown, mounted, whyNot }),
    );
    const interrupted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([interrupted, watch.ended.then(() => (isOver = true))]);
    if (!signal.aborted) await tellWhy(session, report);
  } catch (error) {
    // Ctrl-C is how one leaves, also while it is being put together.
    if (!signal.aborted) throw error;
  } finally {
    for (const failure of await undo.all()) session.note(`Not taken away: ${String(failure)}\n`);
  }
}

/** Its server has ended: by `view close`, with its lease, or with the daemon. Throws in the last case. */
async function tellWhy(session: Session, { id }: OpenedView): Promise<void> {
  await session
    .withClient((client) => client.listViews())
    .catch((error: unknown) => {
      throw new HomewardError('daemon-unreachable', 'the master target has gone, and the files with it', {
        cause: error,
        hint: 'Start it again, then run the same command.',
      });
    });
  session.note(`View ${id} was closed, or its time has ended\n`);
}

/** One that is closed already is what we want. */
async function closeView(session: Session, { id }: OpenedView): Promise<void> {
  await session
    .withClient((client) => client.closeViews({ id }))
    .catch((error: unknown) => {
      const isGone = error instanceof HomewardError && error.code === 'no-such-view';
      if (!isGone) throw error;
    });
}

/** In words, or null where file systems can be mounted. */
function whyNoFileSystems(): string | null {
  if (process.geteuid?.() !== 0) return 'only root may mount file systems';
  return fs.existsSync('/dev/loop-control') ? null : 'this host has no loop devices (`modprobe loop`)';
}

async function checkEmpty(directory: string): Promise<void> {
  if (!fs.existsSync(directory)) return;
  if (!fs.statSync(directory).isDirectory())
    throw new HomewardError('exists', `${directory} is not a directory`);
  if (fs.readdirSync(directory).length === 0) return;
  const line = await leftBehind(directory);
  if (line === null)
    throw new HomewardError('exists', `${directory} is not empty`, {
      hint: 'Give --mount an empty directory, or one that is not there yet.',
    });
  throw new HomewardError('exists', `${directory} has the files of another \`homeward view --mount\``, {
    hint: `End that with Ctrl-C. If it does not run any more: ${line}`,
  });
}

export function formatMounted(
  report: OpenedView,
  {
    shown,
    mounted,
    whyNot,
  }: { shown: string | null; mounted: readonly MountedDisk[]; whyNot: string | null },
): string {
  const volumes = mounted.flatMap((each) => each.volumes);
  const rows = volumes.map(
    ({ disk, number, type, at, why }) =>
      [
        `${disk}${number === null ? '' : ` p${number}`}`,
        `${type ?? '-'}, ${at === null ? `not mounted: ${why}` : at}`,
      ] as const,
  );
  const images = mounted
    .filter(({ volumes: found }) => found.length === 0 || found.some(({ at }) => at === null))
    .map(({ disk, image }) => [`${disk} as an image`, image] as const);
  const title = `View ${report.id} of ${report.machine} as of ${formatMoment(report)}, read-only`;
  const what = whyNot === null ? '' : `The disks as image files, no file systems: ${whyNot}.\n`;
  const lease = report.expiresAt === null ? '' : ` or ${report.expiresAt}`;
  const end = `Until Ctrl-C${lease}, or \`homeward view close ${report.id}\`.\n`;
  return `${title}\n${formatAsked(shown)}${what}${formatFields([...rows, ...images])}${end}`;
}

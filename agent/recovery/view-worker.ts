// The thread that serves one view over NBD; it ends when it is told to.
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { createLog, type Log, type LogLevel } from '../../core/log.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { NbdServer, type NbdAddress } from '../../core/nbd/server.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';
import type { BlockStore } from '../../core/block/block-store.ts';
import { toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { listenError } from '../../core/listen-error.ts';
import type { Listen } from '../../core/names.ts';
import { ViewReader } from '../replica/view-reader.ts';
import type { DamagedRead, ViewContent } from '../replica/view-content.ts';
import { openScratch } from './scratch.ts';
import { viewExport, writableViewExport } from './view-export.ts';
import { viewStore, type ViewState } from './view-store.ts';

export interface ViewJob {
  content: ViewContent;
  address: NbdAddress;
  tls: NbdTls | null;
  /** Null for a view that cannot be written. */
  scratch: { directory: string; maxBytes: number } | null;
  logLevel: LogLevel;
}
/** To the thread: end, or answer nothing but errors from now on. */
export type ViewOrder = 'close' | { break: string };
export type ViewReply =
  | { listening: NbdAddress }
  | { failed: { code: ErrorCode; message: string; hint: string } }
  /** Nothing of the content is read after this. */
  | { broken: true }
  | { damaged: DamagedRead };

if (parentPort !== null) await serve(parentPort, workerData as ViewJob);

async function serve(port: MessagePort, job: ViewJob): Promise<void> {
  const log = createLog(job.logLevel);
  const say = (reply: ViewReply): void => port.postMessage(reply);
  const state: ViewState = { broken: null };
  const reader = new ViewReader(job.content, { log, damaged: (damaged) => say({ damaged }) });
  let stores: BlockStore[] = [];
  let server: NbdServer | null = null;
  // Plans that nobody takes would pile up under a view that nobody reads.
  const refreshing = setInterval(() => tryRefresh(reader, log), limits.viewRefreshMs);
  const end = async (): Promise<void> => {
    clearInterval(refreshing);
    await server?.close();
    await Promise.allSettled(stores.map((store) => store.flush()));
    await Promise.allSettled(stores.map((store) => store.close()));
    reader.close();
    port.close();
  };
  port.on('message', (order: ViewOrder) => {
    if (order === 'close') {
      void end();
      return;
    }
    state.broken = order.break;
    clearInterval(refreshing);
    say({ broken: true });
  });
  try {
    stores = await openStores(job, reader, state);
    const served = { reader, state, log };
    const exports = job.content.disks.map((_disk, disk) =>
      stores[disk] === undefined
        ? viewExport({ ...served, disk })
        : writableViewExport({ ...served, disk }, stores[disk]),
    );
    server = new NbdServer({ exports: exportList(exports), log, tls: job.tls });
    say({ listening: await listen(server, job.address) });
  } catch (error) {
    const { code, message, hint } = toHomewardError(error);
    say({ failed: { code, message, hint } });
    await end();
  }
}

/** None for a view that cannot be written. */
async function openStores(
  { content, scratch }: ViewJob,
  reader: ViewReader,
  state: ViewState,
): Promise<BlockStore[]> {
  if (scratch === null) return [];
  const disks = content.disks.map(({ name }, disk) => ({
    name,
    lsn: content.lsn,
    base: viewStore(reader, disk, state),
  }));
  return openScratch(scratch.directory, disks, scratch.maxBytes);
}

async function listen(server: NbdServer, address: NbdAddress): Promise<NbdAddress> {
  try {
    return await server.listen(address);
  } catch (error) {
    const named: Listen = 'path' in address ? { kind: 'unix', ...address } : { kind: 'tcp', ...address };
    throw listenError(named, error);
  }
}

function tryRefresh(reader: ViewReader, log: Log): void {
  try {
    reader.refresh();
  } catch (error) {
    log.error('view-not-refreshed', { error: toHomewardError(error) });
  }
}

// An NBD server in the test's own process, on a Unix socket that goes with the test.
import path from 'node:path';
import type { Test } from 'tap';
import { memoryStore } from '../../core/block/memory-store.ts';
import { createLog, type Log } from '../../core/log.ts';
import type { NbdExport } from '../../core/nbd/export.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { ReceivePool } from '../../core/nbd/receive-pool.ts';
import { NbdServer, type NbdAddress, type NbdServerOptions } from '../../core/nbd/server.ts';
import { storeExport } from '../../core/nbd/store-export.ts';
import { MiB } from '../../core/units.ts';
import { temporaryDirectory } from './temporary.ts';

export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

export interface Running {
  server: NbdServer;
  address: NbdAddress;
  lines: string[];
  pool: ReceivePool;
}

export const memoryDisk = (name = 'disk0', readOnly = false): NbdExport =>
  storeExport({ name, store: memoryStore(64 * MiB), readOnly });

export async function serveExports(
  t: Test,
  exports: NbdExport[],
  options: Partial<NbdServerOptions> = {},
): Promise<Running> {
  const lines: string[] = [];
  const log: Log = createLog('debug', (line) => lines.push(line));
  const pool = options.receivePool ?? new ReceivePool();
  const server = new NbdServer({ exports: exportList(exports), log, ...options, receivePool: pool });
  t.teardown(() => server.close(0));
  const address = await server.listen({ path: path.join(temporaryDirectory(t), 'nbd.sock') });
  return { server, address, lines, pool };
}

export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await turn();
};

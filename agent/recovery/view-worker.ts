// The thread that serves one view over NBD; it ends when it is told to.
import { parentPort, workerData } from 'node:worker_threads';
import { createLog, type LogLevel } from '../../core/log.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { NbdServer, type NbdAddress } from '../../core/nbd/server.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { listenError } from '../../core/listen-error.ts';
import { ViewReader, type ViewContent } from '../replica/view-content.ts';
import { viewExport } from './view-export.ts';

export interface ViewJob {
  content: ViewContent;
  address: NbdAddress;
  tls: NbdTls | null;
  logLevel: LogLevel;
}
export type ViewReply =
  | { listening: NbdAddress }
  | { failed: { code: ErrorCode; message: string; hint: string } };

await serve(workerData as ViewJob);

async function serve(job: ViewJob): Promise<void> {
  const log = createLog(job.logLevel);
  const reader = new ViewReader(job.content);
  const exports = exportList(job.content.disks.map((_disk, index) => viewExport(reader, index, log)));
  const server = new NbdServer({ exports, log, tls: job.tls });
  parentPort?.once('message', () => {
    server.close().then(
      () => parentPort?.close(),
      (error: unknown) => {
        throw error;
      },
    );
  });
  try {
    parentPort?.postMessage({ listening: await server.listen(job.address) } satisfies ViewReply);
  } catch (error) {
    const { address } = job;
    const listen =
      'path' in address ? ({ kind: 'unix', ...address } as const) : ({ kind: 'tcp', ...address } as const);
    const { code, message, hint } = listenError(listen, error);
    parentPort?.postMessage({ failed: { code, message, hint } } satisfies ViewReply);
    parentPort?.close();
  }
}

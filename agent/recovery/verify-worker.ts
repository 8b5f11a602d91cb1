// The thread that checks pieces of a history, one after the other; it ends when it is told to.
import { parentPort } from 'node:worker_threads';
import { toHomewardError, type ErrorCode } from '../../core/errors.ts';
import type { PieceResult } from './verify-finding.ts';
import { checkPiece, type PieceJob } from './verify-work.ts';

export type VerifyJob = { job: PieceJob; mostMs: number } | 'end';
export type VerifyReply = { result: PieceResult } | { failed: { code: ErrorCode; message: string } };

parentPort?.on('message', (message: VerifyJob) => {
  if (message === 'end') {
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(tryCheck(message.job, message.mostMs));
});

function tryCheck(job: PieceJob, mostMs: number): VerifyReply {
  try {
    return { result: checkPiece(job, mostMs) };
  } catch (error) {
    const { code, message } = toHomewardError(error);
    return { failed: { code, message } };
  }
}

// The thread that carries out steps: asked for one job at a time, it answers when that is done.
import { parentPort } from 'node:worker_threads';
import { toHomewardError } from '../../core/errors.ts';
import { hostFiles } from '../../core/files/host-files.ts';
import { RestingThread } from '../../core/give-back.ts';
import { limits } from '../../core/limits.ts';
import type { StepReply } from './step-thread.ts';
import { runStepRequest, type StepRequest } from './step-work.ts';

const thread = new RestingThread(limits.threadRestMs);

parentPort?.on('message', (request: StepRequest) => {
  runStepRequest(hostFiles, request).then(
    (done) => answer({ done }),
    (error: unknown) => {
      const { code, message, hint } = toHomewardError(error);
      answer({ failed: { code, message, hint } });
    },
  );
});

function answer(reply: StepReply): void {
  parentPort?.postMessage(reply);
  thread.ended();
}

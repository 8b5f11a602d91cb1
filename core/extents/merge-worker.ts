// The thread that merges large extent tables, so that ingest need not wait for it.
import { parentPort } from 'node:worker_threads';
import { RestingThread } from '../give-back.ts';
import { limits } from '../limits.ts';
import { ExtentTable } from './extent-table.ts';
import { mergeTables } from './merge.ts';
import type { MergeReply, MergeRequest } from './background-merger.ts';

const thread = new RestingThread(limits.threadRestMs);

parentPort?.on('message', ({ id, older, newer, firstLiveSegment }: MergeRequest) => {
  const merged = mergeTables(ExtentTable.from(older), ExtentTable.from(newer), firstLiveSegment);
  const reply: MergeReply = { id, merged: merged.transferable() };
  parentPort?.postMessage(reply);
  thread.ended();
});

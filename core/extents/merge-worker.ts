// The thread that merges large extent tables, so that ingest need not wait for it.
import { parentPort } from 'node:worker_threads';
import { ExtentTable } from './extent-table.ts';
import { mergeTables } from './merge.ts';
import type { MergeReply, MergeRequest } from './background-merger.ts';

parentPort?.on('message', ({ id, older, newer, firstLiveSegment }: MergeRequest) => {
  const merged = mergeTables(ExtentTable.from(older), ExtentTable.from(newer), firstLiveSegment);
  const reply: MergeReply = { id, merged: merged.transferable() };
  parentPort?.postMessage(reply);
});

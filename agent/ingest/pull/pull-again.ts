// Asks a process server for records that this master target has had: what the spool still has of them.
import { ChainConnection } from '../../../core/chain/chain-connection.ts';
import { openChain } from '../../../core/chain/open-chain.ts';
import { HomewardError } from '../../../core/errors.ts';
import type { Assignment, SignedAssignment } from '../../../core/identity/assignment.ts';
import type { HostIdentity } from '../../../core/identity/host-identity.ts';
import { limits } from '../../../core/limits.ts';
import type { Log } from '../../../core/log.ts';
import { parseRecordRun } from '../../../core/record/record-run.ts';
import { recordHeaderBytes, type MachineMark } from '../../../core/record/record.ts';
import { readVersion } from '../../../core/version.ts';

export interface AgainOptions {
  assignment: Pick<Assignment, 'processServer'>;
  signed: SignedAssignment;
  identity: HostIdentity;
  generation: number;
  mark: MachineMark;
  /** Records [from, to], of which only the wanted are kept. */
  from: number;
  to: number;
  isWanted(lsn: number): boolean;
  /** Enough when so much is there. */
  mostBytes: number;
  log: Log;
  signal: AbortSignal;
}

/**
 * The bytes of each record that is still there, by LSN and oldest first, their checksums looked at. Throws as
 * `openChain` does, 'damaged-record', 'chain-broken', and what it was refused with; an older process server
 * answers 'chain-broken'.
 */
export async function pullAgain(options: AgainOptions): Promise<Map<number, Buffer>> {
  const { assignment, identity, from, to, log, signal } = options;
  const opened = await openChain({ identity, ...assignment.processServer, signal });
  const records = new Map<number, Buffer>();
  return await new Promise((resolve, reject) => {
    let isWhole = false;
    let bytes = 0;
    const connection = new ChainConnection({
      ...opened,
      log,
      listener: {
        welcome: () => undefined,
        records: (body) => {
          bytes += keep(options, body, records);
          if (bytes >= options.mostBytes) end();
        },
        note: ({ kind }) => {
          if (kind === 'again-end') end();
        },
        closed: (error) => {
          clearInterval(signs);
          signal.removeEventListener('abort', abort);
          if (isWhole) resolve(records);
          else reject(error ?? new HomewardError('interrupted', 'asking for records was interrupted'));
        },
      },
    });
    const end = (): void => {
      isWhole = true;
      connection.destroy();
    };
    const abort = (): void => connection.destroy();
    const nothing = { spooled: 0, target: 0, applied: 0 };
    const signs = setInterval(() => connection.sendAck(nothing), limits.chainAckMs).unref();
    signal.addEventListener('abort', abort, { once: true });
    const { signed: text, generation } = options;
    const about = { role: 'again', version: readVersion(), assignment: text, compress: true } as const;
    connection.sendHello({ ...about, generation, from, to });
    if (signal.aborted) abort();
  });
}

/** Gives back how many bytes of it are kept. */
function keep(
  { mark, from, to, isWanted }: AgainOptions,
  body: Buffer,
  records: Map<number, Buffer>,
): number {
  const { headers, positions, bytes } = parseRecordRun(body, mark, { payloads: true });
  let kept = 0;
  for (const [at, { lsn, payloadBytes }] of headers.entries()) {
    if (lsn < from || lsn > to || !isWanted(lsn)) continue;
    const start = positions[at] ?? 0;
    // A copy: the rest of what came need not stay for it.
    records.set(lsn, Buffer.from(bytes.subarray(start, start + recordHeaderBytes + payloadBytes)));
    kept += recordHeaderBytes + payloadBytes;
  }
  return kept;
}

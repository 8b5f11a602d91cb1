// Tells a process server once that a machine has a newer generation: what its source still sends is refused
// there from then on, and the source hears why.
import { ChainConnection } from '../../../core/chain/chain-connection.ts';
import { openChain } from '../../../core/chain/open-chain.ts';

import { HomewardError } from '../../../core/errors.ts';
import type { Assignment, SignedAssignment } from '../../../core/identity/assignment.ts';
import type { HostIdentity } from '../../../core/identity/host-identity.ts';
import type { Log } from '../../../core/log.ts';
import { readVersion } from '../../../core/version.ts';

export interface ShownGeneration {
  assignment: Assignment;
  signed: SignedAssignment;
  identity: HostIdentity;
  generation: number;
  /** The newest of its source that is here. */
  durable: number;
  applied: number;
  log: Log;
  signal: AbortSignal;
}

/** Resolves when the process server has heard it. Throws as `openChain` does, and 'chain-broken'. */
export async function showGeneration(shown: ShownGeneration): Promise<void> {
  const { assignment, signed, identity, generation, durable, applied, log, signal } = shown;
  const opened = await openChain({ identity, ...assignment.processServer, signal });
  const ended = await new Promise<HomewardError | null>((resolve) => {
    let isHeard = false;
    const connection = new ChainConnection({
      ...opened,
      log,
      listener: {
        welcome: () => {
          isHeard = true;
          connection.destroy();
        },
        closed: (error) => resolve(isHeard ? null : (error ?? unheard())),
      },
    });
    const hello = { role: 'target', version: readVersion(), assignment: signed, compress: false } as const;
    connection.sendHello({ ...hello, generation, durable, applied });
    signal.addEventListener('abort', () => connection.destroy(), { once: true });
  });
  if (ended !== null) throw ended;
}

const unheard = (): HomewardError =>
  new HomewardError('chain-broken', 'the stream ended before the process server had answered');

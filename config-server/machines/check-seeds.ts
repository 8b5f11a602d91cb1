// Asks a master target about seeds before it is assigned a machine with them: what is wrong is said at once.
import { text as readText } from 'node:stream/consumers';
import { z } from 'zod';
import type { AssignedSeed } from '../../core/identity/assignment.ts';
import { checkAnswer, errorFrom } from '../../core/identity/http-client.ts';
import { limits } from '../../core/limits.ts';
import type { Registry } from '../registry.ts';

/** What a seed holds, and how long it takes until what differs from the disk is known. */
export interface SeedCheck {
  disk: string;
  bytes: number;
  storedBytes: number;
  seconds: number;
}

const answerShape = z.array(
  z.object({ disk: z.string(), bytes: z.number(), storedBytes: z.number(), seconds: z.number() }),
);
/** Throws what the master target says: 'machine-differs' for one larger than its disk, 'no-such-file' …. */
export async function checkSeeds(
  registry: Registry,
  masterTarget: string,
  disks: readonly { name: string; size: number }[],
  seeds: readonly AssignedSeed[],
): Promise<SeedCheck[]> {
  const sizeOf = (disk: string): number => disks.find(({ name }) => name === disk)?.size ?? 0;
  const body = JSON.stringify({ seeds: seeds.map((seed) => ({ ...seed, size: sizeOf(seed.disk) })) });
  const call = { method: 'POST' as const, path: '/v1/seed-checks', body };
  const answer = await registry.calls.ask(masterTarget, call, AbortSignal.timeout(limits.serverAnswerMs));
  const said: unknown = JSON.parse(await readText(answer.body));
  if (answer.status >= 400) throw errorFrom(said, 'the master target');
  return checkAnswer(answerShape, said, 'the master target');
}

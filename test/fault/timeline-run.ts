// One random sequence on a timeline world: after every operation, and inside steps, every LSN is read.
import { HomewardError } from '../../core/errors.ts';
import { seededRandom } from '../support/random.ts';
import * as ops from '../support/timeline-ops.ts';
import { checkEverything, turns, watchReads } from '../support/timeline-views.ts';
import { TimelineWorld, type Remains } from '../support/timeline-world.ts';
import { actions, anyChange, pickAction, type Acting, type ModelMistake } from './timeline-actions.ts';

export interface ModelOptions {
  seed: number;
  actions: number;
  mistake?: ModelMistake;
  /** Share of all LSNs that are read at each call of a step, besides open views. */
  readShare: number;
}

/** How often what a step does is cut short. */
const endChance = 0.15;
const faultChance = 0.15;
const callsMost = 60;

/** Throws when anything is wrong with any LSN at any time. */
export async function runModel(options: ModelOptions): Promise<void> {
  const random = seededRandom(options.seed);
  const mistake = options.mistake ?? {};
  const mayRot = options.mistake === undefined && random.chance(0.2);
  const world = await TimelineWorld.open(TimelineWorld.blank(), mistake);
  const acting: Acting = { world, random, mistake, mayRot, sync: null };
  const done: string[] = [];
  try {
    for (let count = 0; count < options.actions; count++) {
      const name = random.chance(options.mistake === undefined ? 0.03 : 0.12) ? 'end' : pickAction(random);
      if (name !== 'end') await act(acting, name, options.readShare, done);
      if (name === 'end' || acting.world.io.ended) await restart(acting, done);
      await check(acting);
    }
  } catch (error) {
    throw new Error(`${String(error)} after ${done.slice(-14).join(', ')}`, { cause: error });
  } finally {
    acting.world.end('kill', 1);
  }
}

async function act(acting: Acting, name: string, readShare: number, done: string[]): Promise<void> {
  const { world, random } = acting;
  const { io } = world;
  const action = actions[name];
  const pending: Promise<unknown>[] = [];
  let how = '';
  if (action?.isStep === true) {
    how = plan(acting);
    watchReads(world, random, readShare);
    const read = io.watch;
    io.watch = (isApart) => {
      read?.(isApart);
      if (random.chance(0.02)) pending.push(ops.change(world, anyChange(random)));
    };
  }
  done.push(`${name}${how}`);
  try {
    if ((await action?.act(acting)) === false) done.pop();
  } catch (error) {
    if (!isDue(error, world)) throw error;
    done.push(`(${String(error).slice(0, 40)})`);
  } finally {
    io.watch = null;
    io.fault = null;
    io.crashAt = Infinity;
  }
  if (!io.ended) await Promise.all(pending);
}

/** What may be said while a disk fails, is damaged, or the process has ended. */
function isDue(error: unknown, { io, isRotten }: TimelineWorld): boolean {
  if (io.ended) return true;
  if (io.injected > 0 && /EIO|ENOSPC|journal-failed|no-space/.test(String(error) + codeOf(error)))
    return true;
  return isRotten && codeOf(error) === 'damaged';
}

const codeOf = (error: unknown): string => (error instanceof HomewardError ? error.code : '');

/** Now and then the process ends at one of the next calls, or that call fails. */
function plan({ world: { io }, random }: Acting): string {
  const at = io.calls + 1 + random.below(callsMost);
  io.injected = 0;
  const chance = random.next();
  if (chance < endChance) {
    io.crashAt = at;
    io.crashPart = random.next();
    return ` ends at call ${at - io.calls}`;
  }
  if (chance >= endChance + faultChance) return '';
  const errno = random.pick(['EIO', 'ENOSPC']);
  // What a disk does not give back again and again counts as damaged, which is another test's.
  const isLasting = random.chance(0.3);
  io.fault = { n: at, errno, isLasting, sparesReads: isLasting };
  return ` with ${errno} at call ${at - io.calls}`;
}

async function restart(acting: Acting, done: string[]): Promise<void> {
  const { world, random, mistake } = acting;
  if (world.failure !== null) throw world.failure;
  const how = random.pick(['kill', 'mixed', 'mixed', 'keep', 'drop'] as const);
  done.push(how);
  const remains: Remains = world.end(how, random.below(2 ** 31));
  await turns();
  acting.world = await TimelineWorld.open(remains, mistake);
  acting.sync = acting.world.journal.catalogue.openGap === null ? null : 1;
}

async function check({ world }: Acting): Promise<void> {
  if (world.journal.failure !== null) await world.wait(1000);
  if (world.failure !== null) throw world.failure;
  checkEverything(world);
}

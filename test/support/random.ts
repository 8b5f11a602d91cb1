// Repeatable chance for tests: the same seed gives the same numbers, and every test prints the seed it ran
// with.
import { randomInt } from 'node:crypto';
import type { Test } from 'tap';

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number in [0, bound). */
  below(bound: number): number;
  chance(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
  bytes(length: number): Buffer;
}

/** The numbers of one seed (the mulberry32 generator). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick<T>(choices: readonly T[]): T {
      if (choices.length === 0) throw new RangeError('nothing to pick from');
      return choices[below(choices.length)] as T;
    },
    bytes(length) {
      const bytes = Buffer.alloc(length);
      for (let at = 0; at < length; at += 1) bytes[at] = below(256);
      return bytes;
    },
  };
}

/**
 * The seed of this run: that of the environment variable SEED to repeat one, else a new one; printed either
 * way.
 */
export function chooseSeed(t: Test): number {
  const given = Number(process.env['SEED']);
  const seed = process.env['SEED'] !== undefined && Number.isSafeInteger(given) ? given : randomInt(2 ** 31);
  t.comment(`seed ${seed} (repeat with SEED=${seed})`);
  return seed;
}

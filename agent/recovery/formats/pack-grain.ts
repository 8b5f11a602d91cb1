// Compresses a grain of VMDK in the way that is worth its time: most time would go where least is gained.
import { constants, deflateSync } from 'node:zlib';
import { undisturbed } from '../../../core/end-thread.ts';
import { vmdkGrainBytes } from '../../../core/formats/vmdk.ts';

const { Z_BEST_SPEED, Z_MAX_MEMLEVEL, Z_NO_COMPRESSION, Z_RLE } = constants;

/**
 * Matches: text, code, tables. Runs: noise with runs of one byte, as in half-filled blocks, where looking for
 * other matches takes twice as long and finds none. Stored: noise, which would only get larger.
 */
export type Packing = 'matches' | 'runs' | 'stored';

const options = {
  matches: { level: Z_BEST_SPEED, memLevel: Z_MAX_MEMLEVEL },
  runs: { level: Z_BEST_SPEED, memLevel: Z_MAX_MEMLEVEL, strategy: Z_RLE },
  stored: { level: Z_NO_COMPRESSION },
} as const;

/** The grain as a zlib stream. */
export function packGrain(grain: Buffer): Buffer {
  const packing = options[packingOf(grain)];
  return undisturbed(() => deflateSync(grain, packing));
}

const stepBytes = 4096;
const sampleBytes = 512;
const sampled = (vmdkGrainBytes / stepBytes) * sampleBytes;
/** So many bytes other than zero are too few to call them noise. */
const leastNoise = 1024;
/** Noise is as even as this; what is compressed well is too, text is twenty times above. */
const noiseExcess = 0.1;
/** Of noise a 256th is zeros; an eighth of the grain in runs is worth finding. */
const runZeros = sampled / 8;

const counts = new Int32Array(256);

/** By how often each value comes in an eighth of the grain, taken from another place of each 4 KiB. */
export function packingOf(grain: Buffer): Packing {
  counts.fill(0);
  for (let step = 0, at = 0; at < grain.length; step++, at += stepBytes) {
    const from = at + ((step * 5) % (stepBytes / sampleBytes)) * sampleBytes;
    const to = Math.min(from + sampleBytes, grain.length);
    for (let index = from; index < to; index++) counts[grain[index]!]! += 1;
  }
  if (!isNoise(counts)) return 'matches';
  return counts[0]! > runZeros ? 'runs' : 'stored';
}

/** Whether values other than 0 come about equally often, by their chi-square, whose mean is 254. */
function isNoise(of: Int32Array): boolean {
  let all = 0;
  let squares = 0;
  for (let value = 1; value < 256; value++) {
    all += of[value]!;
    squares += of[value]! * of[value]!;
  }
  if (all < leastNoise) return false;
  return ((squares * 255) / all - all - 254) / all < noiseExcess;
}

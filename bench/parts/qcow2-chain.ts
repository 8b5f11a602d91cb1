// The peer of views: a chain of qcow2 overlays, and the writes that fill them.
import { join } from 'node:path';
import { GiB, KiB } from '../../core/units.ts';
import { runFio, type FioWork } from './fio.ts';
import { createOverlay, serveQcow2, writtenFile } from './peers.ts';

export const chainDiskBytes = GiB / 2;
export const overlays = 24;
/** In all parts of a chain together. */
export const chainRecords = 360_000;
const blockBytes = 4 * KiB;

/** What one overlay holds, or one 24th of the redo below a view: the same blocks with the same content. */
export function chainPart(index: number): FioWork {
  return {
    rw: 'randwrite',
    blockBytes,
    depth: 32,
    size: chainDiskBytes,
    bytes: (chainRecords / overlays) * blockBytes,
    secondsMost: 120,
    seed: 100 + index,
    finalFlush: true,
    repeatable: true,
  };
}

/** Returns the newest overlay. */
export async function buildChain(directory: string): Promise<string> {
  let below = join(directory, 'base.raw');
  await writtenFile(below, chainDiskBytes);
  for (let index = 0; index < overlays; index++) {
    const overlay = join(directory, `overlay-${index}.qcow2`);
    await createOverlay(overlay, below, index === 0 ? 'raw' : 'qcow2');
    const peer = await serveQcow2(directory, overlay, []);
    await runFio(peer.uri, chainPart(index));
    await peer.stop();
    below = overlay;
  }
  return below;
}

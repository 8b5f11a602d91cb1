// The disks of a view below a directory: file systems mounted where this host can, else their images.
import fs from 'node:fs';
import path from 'node:path';
import { startGuard, type Guard } from './guard.ts';
import { serveImage } from './image.ts';
import { runProgram } from './program.ts';
import { takeDown, type Placed } from './take-down.ts';
import { howToMount, readVolumes, type Volume } from './volumes.ts';

/** One file system, and where it is mounted; or in words why it is not. */
export interface MountedVolume {
  disk: string;
  /** Of the partition; null for a disk without any. */
  number: number | null;
  type: string | null;
  at: string | null;
  why: string | null;
}

export interface MountedDisk {
  disk: string;
  /** The whole disk as a file. */
  image: string;
  volumes: MountedVolume[];
}

export interface DisksToMount {
  directory: string;
  /** Where images lie while file systems are mounted from them; null: in `directory`, and nothing else. */
  images: string | null;
  disks: readonly { name: string; uri: string }[];
  signal: AbortSignal;
}

/**
 * What was put there so far goes again, newest first, when this or `undo` is told so. Each step enters how it
 * is undone before the next one begins.
 */
export async function mountDisks(asked: DisksToMount, undo: Undo): Promise<MountedDisk[]> {
  const { directory, images, disks, signal } = asked;
  const mounted: MountedDisk[] = [];
  for (const { name, uri } of disks) {
    signal.throwIfAborted();
    const image = path.join(images ?? directory, name);
    undo.guard({ kind: 'image', at: image });
    const served = await serveImage(image, uri, images === null);
    undo.push(() => served.end());
    const volumes: MountedVolume[] = [];
    if (images !== null) {
      const below = path.join(directory, name);
      undo.makeDirectory(below);
      for (const volume of await readVolumes(image, served.bytes)) {
        signal.throwIfAborted();
        const at = volume.number === null ? below : path.join(below, `p${volume.number}`);
        volumes.push({ disk: name, ...(await mountVolume(image, volume, at, undo)) });
      }
    }
    mounted.push({ disk: name, image, volumes });
  }
  return mounted;
}

async function mountVolume(
  image: string,
  { number, type, start, size }: Volume,
  at: string,
  undo: Undo,
): Promise<Omit<MountedVolume, 'disk'>> {
  const how = howToMount(type);
  const not = (why: string): Omit<MountedVolume, 'disk'> => ({ number, type, at: null, why });
  if ('why' in how) return not(how.why);
  const place = ['--offset', String(start), '--sizelimit', String(size)];
  const loop = await runProgram('losetup', ['--find', '--show', ...place, image]);
  const device = loop.out.trim();
  if (loop.status !== 0) return not(`losetup: ${loop.err}`);
  if (number !== null) undo.makeDirectory(at);
  undo.guard({ kind: 'mount', at });
  const done = await runProgram('mount', ['-t', type ?? '', '-o', how.options, device, at]);
  // One that is mounted goes by itself with the mount.
  await runProgram('losetup', ['--detach', device]);
  if (done.status !== 0) return not(done.err.replaceAll(/\s*\n\s*/g, '; '));
  undo.push(() => takeDown({ kind: 'mount', at }));
  return { number, type, at, why: null };
}

/** What has been done, to be undone in reverse; what is on the host, also when this process is killed. */
export class Undo {
  readonly #steps: (() => Promise<void> | void)[] = [];
  #guard: Guard | null = null;

  /** Before it is put there. */
  guard(placed: Placed): void {
    this.#guard ??= startGuard();
    this.#guard.placed(placed);
  }

  push(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  /** Only one that was not there is taken away again, and only when nothing was put into it. */
  makeDirectory(directory: string): void {
    if (fs.existsSync(directory)) return;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.madeDirectory(directory);
  }

  madeDirectory(directory: string): void {
    const placed: Placed = { kind: 'directory', at: directory };
    this.guard(placed);
    this.push(() => takeDown(placed));
  }

  /** All of it, also when a step fails; gives back the failures. */
  async all(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse())
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    this.#guard?.release();
    this.#guard = null;
    return failures;
  }
}

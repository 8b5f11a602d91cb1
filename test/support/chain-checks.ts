// What has to hold at both ends of a chain: the newest point is the source's disks, and moments stay as they
// were.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import type { ControlClient, MachineStatus } from '../../agent/control/client.ts';
import { regionBytes } from '../../mobility/capture/captured-disks.ts';
import { dirtyPageBytes, hasRegion, regionCount } from '../../mobility/capture/dirty-pages.ts';
import type { ChainSite, Source } from './chain-site.ts';
import { until } from './homeward.ts';
import { readExport } from './oracle-writer.ts';

/** A master target's word on one machine. */
export async function targetStatus(target: ControlClient, name: string): Promise<MachineStatus> {
  const { machines } = await target.status();
  const found = machines.find((machine) => machine.name === name);
  if (found === undefined) throw new Error(`the master target does not know ${name}`);
  return found;
}

/** Waits until the master target says that its newest point is younger than this call, and all is well. */
export async function reached(
  target: ControlClient,
  name: string,
  timeoutMs = 90_000,
): Promise<MachineStatus> {
  const since = performance.now();
  let found: MachineStatus | null = null;
  const isThere = async (): Promise<boolean> => {
    const asked = performance.now();
    found = await targetStatus(target, name);
    return found.state === 'ok' && asked - (found.rpoSeconds ?? Infinity) * 1000 > since;
  };
  await until(`${name} to have a point of now`, isThere, timeoutMs).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(found)}`);
  });
  return found as unknown as MachineStatus;
}

/** The disks of a machine at a moment, out of a view that is closed again. */
export async function imagesAt(
  target: ControlClient,
  { name, files, socket }: Pick<Source, 'name' | 'files' | 'socket'>,
  at: string,
): Promise<Map<string, Buffer>> {
  const listen = path.join(path.dirname(socket), `check-${(views += 1)}.sock`);
  const request = { machine: name, at, listen: `unix:${listen}`, writable: false, leaseMs: null };
  const { id } = await target.openView(request);
  const images = new Map<string, Buffer>();
  for (const [disk, file] of files) images.set(disk, await readExport(listen, disk, fs.statSync(file).size));
  await target.closeViews({ id });
  return images;
}
let views = 0;

/** Everything that the source's disks hold now is in the newest point; nothing may write meanwhile. */
export async function sameAtBothEnds(
  t: Test,
  target: ControlClient,
  source: Source,
  when: string,
): Promise<void> {
  const images = await imagesAt(target, source, 'latest');
  for (const [disk, file] of source.files)
    t.same(
      differences(images.get(disk), fs.readFileSync(file)),
      [],
      `${when}: ${disk} is the same at both ends`,
    );
}

/** Moments that were tagged while nothing wrote, with what the disks held. */
export class Moments {
  readonly #site: ChainSite;
  readonly #source: Source;
  readonly #known: { name: string; images: Map<string, Buffer> }[] = [];

  constructor(site: ChainSite, source: Source) {
    this.#site = site;
    this.#source = source;
  }

  /** The LSN of the tag. */
  async record(name: string): Promise<number> {
    const { lsn } = await this.#site.server.control.tag(this.#source.name, name);
    const images = [...this.#source.files].map(([disk, file]) => [disk, fs.readFileSync(file)] as const);
    this.#known.push({ name, images: new Map(images) });
    return lsn;
  }

  /** The newest ones and, if they are more, the first. */
  async check(t: Test, when: string, newest = 2): Promise<void> {
    const chosen = new Set([...this.#known.slice(0, 1), ...this.#known.slice(-newest)]);
    for (const { name, images } of chosen) {
      const found = await imagesAt(this.#site.target, this.#source, `tag:${name}`);
      for (const [disk, image] of images)
        t.same(differences(found.get(disk), image), [], `${when}: ${disk} at ${name} is as it was`);
    }
  }
}

/** Bytes of the regions in the dirty map on disk; to be asked while the source does not run. */
export function dirtyOnDisk({ data, files }: Source): number {
  let bytes = 0;
  for (const [disk, file] of files) {
    const { size } = fs.statSync(file);
    const pages = fs.readFileSync(path.join(data, 'dirty', `${disk}.map`));
    if (pages.length < 2 * dirtyPageBytes) throw new Error(`the dirty map of ${disk} is too short`);
    for (let region = 0; region < regionCount(size); region += 1)
      if (hasRegion(pages, region)) bytes += Math.min(regionBytes, size - region * regionBytes);
  }
  return bytes;
}

/** Where two images differ, the first few 4 KiB blocks. */
function differences(found: Buffer | undefined, expected: Buffer): number[] {
  if (found === undefined || found.length !== expected.length) return [-1];
  if (found.equals(expected)) return [];
  const wrong: number[] = [];
  for (let at = 0; at < expected.length && wrong.length < 5; at += 4096)
    if (!found.subarray(at, at + 4096).equals(expected.subarray(at, at + 4096))) wrong.push(at);
  return wrong;
}

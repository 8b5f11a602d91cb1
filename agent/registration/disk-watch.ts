// Notices disks that are added to a running host, or taken away from it.
import { watch, type FSWatcher } from 'chokidar';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { HostDisk } from '../../core/registration/messages.ts';
import { formatSize } from '../../core/units.ts';
import { byIdDirectory } from '../replica/disk-identity.ts';
import { readHostDisks } from './host-disks.ts';

/** A replica that lies on a disk of its own. */
export interface ReplicaDisk {
  machine: string;
  disk: string;
  /** The path it is opened by. */
  path: string;
}

export interface DiskWatchOptions {
  log: Log;
  /** Those there are now. */
  replicas(): readonly ReplicaDisk[];
  /** What `realpath` says of a path, or null. */
  realPath(path: string): string | null;
  /** Called with the new list after each change. */
  changed?: (disks: readonly HostDisk[]) => void;
  /** For tests. */
  directories?: readonly string[];
  readDisks?: () => HostDisk[];
}

/** udev makes and removes links there; by-path has disks without identity, too. */
const watched = [byIdDirectory, '/dev/disk/by-path'];

/** The list is read again when something changed and then was quiet for a moment. */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #watcher: FSWatcher;
  #timer: NodeJS.Timeout | null = null;
  #disks: HostDisk[];
  /** Where each replica lay when it was seen last: its link is gone with the disk. */
  readonly #lastSeen = new Map<string, string>();

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#disks = this.#read();
    this.#noteReplicas();
    const directories = [...(options.directories ?? watched)];
    this.#watcher = watch(directories, { followSymlinks: false, ignoreInitial: true, depth: 2 });
    this.#watcher.on('all', () => this.#soon());
    this.#watcher.on('error', (error) => options.log.warn('disks-not-watched', { error: error as Error }));
  }

  get disks(): readonly HostDisk[] {
    return this.#disks;
  }

  /** Resolves when changes are seen. */
  ready(): Promise<void> {
    return new Promise((resolve) => this.#watcher.once('ready', () => resolve()));
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#watcher.close();
  }

  #soon(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), limits.disksSettleMs);
    this.#timer.unref();
  }

  #look(): void {
    this.#timer = null;
    const before = this.#disks;
    const now = this.#read();
    this.#disks = now;
    const { added, removed } = compareDisks(before, now);
    for (const disk of added.filter(isAttached)) this.#options.log.info('disk-added', fieldsOf(disk));
    for (const disk of removed) this.#reportRemoved(disk);
    this.#noteReplicas();
    if (added.length + removed.length > 0) this.#options.changed?.(now);
  }

  /** One that carries a replica is missed: what comes for that machine can no longer be applied. */
  #reportRemoved(disk: HostDisk): void {
    const { log } = this.#options;
    const lost = this.#options.replicas().filter(({ path }) => liesOn(this.#lastSeen.get(path), disk.path));
    if (lost.length === 0 && isAttached(disk)) log.info('disk-removed', fieldsOf(disk));
    for (const { machine, disk: replica } of lost)
      log.error('disk-removed', {
        ...fieldsOf(disk),
        machine,
        replica,
        hint: 'Attach the disk again, then restart the service.',
      });
  }

  #noteReplicas(): void {
    for (const { path } of this.#options.replicas()) {
      const real = this.#options.realPath(path);
      if (real !== null) this.#lastSeen.set(path, real);
    }
  }

  #read(): HostDisk[] {
    return (this.#options.readDisks ?? readHostDisks)();
  }
}

/** The disk itself, or a partition of it. */
const liesOn = (node: string | undefined, disk: string): boolean =>
  node === disk || (node?.startsWith(disk) === true && /^p?\d+$/.test(node.slice(disk.length)));

/** Loop and network block devices are made by programs of this host: nobody has attached a disk. */
const isAttached = ({ name }: HostDisk): boolean => !/^(?:loop|nbd)\d/.test(name);

/** A disk is the same one when path, size and identity are. */
export function compareDisks(
  before: readonly HostDisk[],
  now: readonly HostDisk[],
): { added: HostDisk[]; removed: HostDisk[] } {
  const key = ({ path, size, wwid }: HostDisk): string => `${path} ${size} ${wwid ?? ''}`;
  const had = new Set(before.map(key));
  const has = new Set(now.map(key));
  return {
    added: now.filter((disk) => !had.has(key(disk))),
    removed: before.filter((disk) => !has.has(key(disk))),
  };
}

const fieldsOf = ({ path, size, wwid, byId }: HostDisk): Record<string, string> => ({
  path,
  size: formatSize(size),
  wwid: wwid ?? 'none',
  name: byId ?? 'none',
});

// One file of the simulated file system: its content as written, and what of it a power cut may leave.
import type { Random } from './random.ts';

export const sectorBytes = 512;
/** What is a hole or is none, as a whole. */
const holeBytes = 4096;

/**
 * How a power cut treats what was not synced: all lost, all there, or each write lost, there or torn by
 * chance.
 */
export type CrashMode = 'drop' | 'keep' | 'mixed';
/** The fate of one unsynced change. */
type Fate = 'drop' | 'keep' | 'tear';

/** A sector, or the size, as a change left it. After a failed sync it is `clean`: no later sync writes it. */
interface Version<T> {
  change: number;
  value: T;
  clean: boolean;
}

/**
 * A disk may write back any sector at any time, and always as it is in memory then. So after a power cut each
 * sector is what the last sync left, or what one of the changes since then left, independently of all others.
 */
export class SimulatedFile {
  content = new Uint8Array(0);
  size = 0;
  /** Open descriptors and names; without either its space is free. */
  references = 0;
  private durable = new Uint8Array(0);
  private durableSize = 0;
  private changes = 0;
  private readonly sectors = new Map<number, Version<Uint8Array>[]>();
  private sizes: Version<number>[] = [];

  write(source: Uint8Array, position: number): void {
    const end = position + source.length;
    this.changes += 1;
    this.reserve(Math.max(end, this.size));
    this.content.set(source, position);
    this.rememberSectors(position, end);
    if (end > this.size) this.rememberSize(end);
  }

  resize(size: number): void {
    this.changes += 1;
    this.reserve(Math.max(size, this.size));
    if (size < this.size) {
      this.content.fill(0, size, this.size);
      this.rememberSectors(size, this.size);
    }
    if (size !== this.size) this.rememberSize(size);
  }

  /** A block of zeros counts as a hole, however it came to be: a file system may find such blocks itself. */
  nextData(offset: number): number | null {
    for (let at = offset; at < this.size; at = nextBlock(at)) if (!this.isHole(at)) return at;
    return null;
  }

  nextHole(offset: number): number | null {
    for (let at = offset; at < this.size; at = nextBlock(at)) if (this.isHole(at)) return at;
    return offset < this.size ? this.size : null;
  }

  /** A mark that `completeSync` takes: what was changed before it is what the sync covers. */
  beginSync(): number {
    return this.changes;
  }

  completeSync(mark: number): void {
    for (const [sector, versions] of this.sectors) {
      const last = lastDirty(versions, mark);
      if (!last) continue;
      this.setDurable(sector, last.value);
      keepAfter(
        this.sectors,
        sector,
        versions.filter((version) => version.change > last.change),
      );
    }
    const size = lastDirty(this.sizes, mark);
    if (size) {
      this.durableSize = size.value;
      this.sizes = this.sizes.filter((version) => version.change > size.change);
    }
  }

  /** As Linux does it: the pages count as clean, so the next sync succeeds without having written them. */
  failSync(mark: number): void {
    for (const versions of [...this.sectors.values(), this.sizes]) {
      for (const version of versions) if (version.change <= mark) version.clean = true;
    }
  }

  /** The file as it is on disk after a power cut. */
  afterCrash(random: Random, mode: CrashMode): SimulatedFile {
    const fates = new Map<number, Fate>();
    const survives = (change: number): boolean => {
      if (mode !== 'mixed') return mode === 'keep';
      const fate = fates.get(change) ?? random.pick(['drop', 'keep', 'tear'] as const);
      fates.set(change, fate);
      return fate === 'tear' ? random.chance(0.5) : fate === 'keep';
    };
    const left = new SimulatedFile();
    left.durable = this.durable.slice();
    left.durableSize = this.sizes.findLast((version) => survives(version.change))?.value ?? this.durableSize;
    for (const [sector, versions] of this.sectors) {
      const version = versions.findLast((candidate) => survives(candidate.change));
      if (version) left.setDurable(sector, version.value);
    }
    left.durable = resized(left.durable, left.durableSize);
    left.content = left.durable.slice();
    left.size = left.durableSize;
    return left;
  }

  /** The file as it is in memory; what is unsynced stays so. */
  afterKill(): SimulatedFile {
    const left = new SimulatedFile();
    left.content = this.content.slice();
    left.size = this.size;
    left.durable = this.durable.slice();
    left.durableSize = this.durableSize;
    left.changes = this.changes;
    for (const [sector, versions] of this.sectors) {
      left.sectors.set(
        sector,
        versions.map((version) => ({ ...version })),
      );
    }
    left.sizes = this.sizes.map((version) => ({ ...version }));
    return left;
  }

  private isHole(at: number): boolean {
    const start = at - (at % holeBytes);
    return this.content.subarray(start, Math.min(start + holeBytes, this.size)).every((byte) => byte === 0);
  }

  private rememberSize(size: number): void {
    this.size = size;
    this.sizes.push({ change: this.changes, value: size, clean: false });
  }

  private rememberSectors(start: number, end: number): void {
    for (let sector = Math.floor(start / sectorBytes); sector * sectorBytes < end; sector += 1) {
      const value = this.content.slice(sector * sectorBytes, (sector + 1) * sectorBytes);
      const versions = this.sectors.get(sector) ?? [];
      versions.push({ change: this.changes, value, clean: false });
      this.sectors.set(sector, versions);
    }
  }

  private setDurable(sector: number, value: Uint8Array): void {
    const start = sector * sectorBytes;
    if (this.durable.length < start + value.length) this.durable = grown(this.durable, start + value.length);
    this.durable.set(value, start);
  }

  private reserve(size: number): void {
    if (this.content.length < size) this.content = grown(this.content, size);
  }
}

const nextBlock = (at: number): number => at - (at % holeBytes) + holeBytes;

function lastDirty<T>(versions: Version<T>[], mark: number): Version<T> | undefined {
  return versions.findLast((version) => version.change <= mark && !version.clean);
}

function keepAfter<T>(all: Map<number, Version<T>[]>, key: number, rest: Version<T>[]): void {
  if (rest.length === 0) all.delete(key);
  else all.set(key, rest);
}

function grown(bytes: Uint8Array, least: number): Uint8Array<ArrayBuffer> {
  return resized(bytes, Math.ceil(Math.max(least, bytes.length * 1.5) / sectorBytes) * sectorBytes);
}

function resized(bytes: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(size);
  copy.set(bytes.subarray(0, size));
  return copy;
}

// The ways in which a file is damaged in tests; each changes it where it lies, as another program would.
import fs from 'node:fs';

export interface DamageKind {
  name: string;
  /** Gives back the path that the damage is at. */
  apply(path: string): string;
}

/** What is read through an open file changes with these. */
export const contentDamage: readonly DamageKind[] = [
  { name: 'a bit is flipped', apply: (path) => change(path, (bytes) => flip(bytes, bytes.length >> 1)) },
  { name: 'its first byte is flipped', apply: (path) => change(path, (bytes) => flip(bytes, 0)) },
  { name: 'a sector is lost', apply: (path) => change(path, (bytes) => lose(bytes, bytes.length >> 1)) },
  { name: 'it is cut in the middle', apply: (path) => cut(path, (bytes) => bytes >> 1) },
  { name: 'it is empty', apply: (path) => cut(path, () => 0) },
];

export const deletion: DamageKind = {
  name: 'it is deleted',
  apply(path) {
    fs.unlinkSync(path);
    return path;
  },
};

export function swap(one: string, other: string): void {
  fs.renameSync(one, `${one}.aside`);
  fs.renameSync(other, one);
  fs.renameSync(`${one}.aside`, other);
}

/** In place: whoever has the file open sees it. */
function change(path: string, edit: (bytes: Buffer) => void): string {
  const bytes = fs.readFileSync(path);
  edit(bytes);
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, 0);
  fs.closeSync(fd);
  return path;
}

function cut(path: string, length: (bytes: number) => number): string {
  fs.truncateSync(path, length(fs.statSync(path).size));
  return path;
}

function flip(bytes: Buffer, at: number): void {
  bytes[at]! ^= 4;
}

/** Zeros, or where there are zeros already something else. */
function lose(bytes: Buffer, at: number): void {
  const end = Math.min(at + 512, bytes.length);
  bytes.fill(bytes.subarray(at, end).every((byte) => byte === 0) ? 0xee : 0, at, end);
}

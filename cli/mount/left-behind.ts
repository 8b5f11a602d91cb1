// What another mount of ours has below a directory: of one that still runs, or of one that was killed with
// its guard.
import fs from 'node:fs';
import path from 'node:path';
import { runProgram } from './program.ts';

interface Mounted {
  target: string;
  source: string;
  fstype: string;
}

/** The line for a shell that takes it away, or null when nothing of ours is there. */
export async function leftBehind(directory: string): Promise<string | null> {
  const ran = await runProgram('findmnt', ['--json', '--list', '--output', 'TARGET,SOURCE,FSTYPE']);
  if (ran.status !== 0) return null;
  const { filesystems } = JSON.parse(ran.out) as { filesystems: Mounted[] };
  const names = fs.readdirSync(directory);
  return lineToTakeAway({ directory, names }, filesystems, backingFile);
}

/** `names` are in the directory; `backingOf` a loop device is the image that it shows, or null. */
export function lineToTakeAway(
  { directory, names }: { directory: string; names: readonly string[] },
  all: readonly Mounted[],
  backingOf: (device: string) => string | null,
): string | null {
  const below = all.filter(({ target }) => target.startsWith(`${directory}/`));
  const shown = below.filter(({ source }) => imagePattern.test(backingOf(source) ?? ''));
  const rooms = new Set(shown.map(({ source }) => path.dirname(backingOf(source) ?? '')));
  const fuse = all.filter(({ fstype }) => fstype.startsWith('fuse')).map(({ target }) => target);
  // Without root the disks are images in the directory itself, and nothing else is there.
  const bare = fuse.filter((file) => path.dirname(file) === directory);
  const areOurs = names.every((name) => bare.includes(path.join(directory, name)));
  const places = shown.map(({ target }) => target).toReversed();
  const files = [...fuse.filter((file) => rooms.has(path.dirname(file))), ...(areOurs ? bare : [])];
  if (places.length + files.length === 0) return null;
  const parents = places.map((place) => path.dirname(place)).filter((parent) => parent !== directory);
  const left = [...new Set([...places, ...parents, ...files, ...rooms])];
  return [
    ...(places.length > 0 ? [['umount', ...places]] : []),
    ...files.map((file) => ['fusermount3', '-u', file]),
    ['rm', '-d', ...left],
  ]
    .map((words) => words.map(quoted).join(' '))
    .join('; ');
}

const imagePattern = /\/homeward-\w{6}\/[^/]+$/;

function backingFile(device: string): string | null {
  const file = `/sys/block/${path.basename(device)}/loop/backing_file`;
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : null;
}

const quoted = (word: string): string =>
  /^[\w./:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;

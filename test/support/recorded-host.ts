// A host that was recorded: its files in DIR/root, outputs of programs in DIR/commands, and DIR/host.json.
import fs from 'node:fs';
import path from 'node:path';
import type { CommandResult, FileFacts, FileSystemSpace, Host } from '../../agent/prerequisites/host.ts';
import { HostTree } from './host-tree.ts';

/** What files cannot say. Paths are those of the host. */
export interface RecordedFacts {
  /** RFC 3339. */
  now?: string;
  architecture?: string;
  uid?: number;
  /** By mount point. */
  space?: Record<string, FileSystemSpace>;
  /** By directory: why it cannot be written. Those under a mount that is read-only cannot anyway. */
  unwritable?: Record<string, string>;
  names?: Record<string, string[]>;
  /** By `host:port`: null, or why it cannot be reached. What is not named is refused. */
  ports?: Record<string, string | null>;
}

/**
 * `commands/*.txt`: the first line `$ PROGRAM ARGUMENTS`, then what it printed, and as the last line
 * `[exit N]` where it was not 0.
 */
export function recordedHost(directory: string): Host {
  return hostOf({
    tree: HostTree.load(path.join(directory, 'root')),
    commands: readCommands(path.join(directory, 'commands')),
    facts: JSON.parse(fs.readFileSync(path.join(directory, 'host.json'), 'utf8')) as RecordedFacts,
  });
}

export interface RecordedCommand {
  words: string;
  result: CommandResult;
}

export interface HostParts {
  tree: HostTree;
  commands: readonly RecordedCommand[];
  facts: RecordedFacts;
}

/**
 * A program that is recorded with other arguments only, or lies in the tree, fails with status 127 and says
 * that this call was not recorded; any other is not there.
 */
export function hostOf({ tree, commands, facts }: HostParts): Host {
  return {
    read: (file) => tree.read(file)?.toString('utf8') ?? null,
    readBytes: (file, offset, length) => {
      const content = tree.read(file);
      return content === null ? null : Uint8Array.from(content.subarray(offset, offset + length));
    },
    list: (file) => tree.list(file),
    link: (file) => tree.linkOf(file),
    realPath: (file) => tree.follow(file),
    stat: (file) => factsOf(tree, file),
    statfs: (file) => facts.space?.[mountPointOf(tree, tree.follow(file) ?? file)] ?? null,
    run: (program, args) => Promise.resolve(answer(commands, tree, [program, ...args])),
    tryWrite: (file) => {
      const isThere = tree.kindOf(file) !== null;
      const missing = `ENOENT: no such file or directory, open '${file}'`;
      return Promise.resolve(isThere ? (facts.unwritable?.[file] ?? null) : missing);
    },
    resolve: (name) => Promise.resolve(facts.names?.[name] ?? null),
    tryConnect: (host, port) => {
      const known = facts.ports?.[`${host}:${port}`];
      return Promise.resolve(known === undefined ? 'ECONNREFUSED' : known);
    },
    now: () => Date.parse(facts.now ?? '2026-01-31T12:00:00Z'),
    architecture: facts.architecture ?? 'x64',
    uid: facts.uid ?? 0,
  };
}

/** A node of a device cannot be recorded: a plain file stands for it, and /sys knows its number. */
function factsOf(tree: HostTree, file: string): FileFacts | null {
  const real = tree.follow(file);
  const kind = tree.kindOf(file);
  if (real === null || kind === null) return null;
  const number = real.startsWith('/dev/') ? blockNumber(tree, real.slice('/dev/'.length)) : null;
  return {
    kind: number === null ? kind : 'block',
    size: number === null ? (tree.read(file)?.length ?? 0) : 0,
    mode: kind === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    device: mountsOf(tree).find(({ point }) => point === mountPointOf(tree, real))?.number ?? '0:0',
    node: number,
    modifiedMs: 0,
  };
}

function blockNumber(tree: HostTree, name: string): string | null {
  return (
    tree
      .read(`/sys/class/block/${name.replaceAll('/', '!')}/dev`)
      ?.toString('utf8')
      .trim() ?? null
  );
}

function mountsOf(tree: HostTree): { number: string; point: string }[] {
  const text = tree.read('/proc/self/mountinfo')?.toString('utf8') ?? '';
  return text.split('\n').flatMap((line) => {
    const [, , number, , point] = line.split(' ');
    return number === undefined || point === undefined ? [] : [{ number, point }];
  });
}

function mountPointOf(tree: HostTree, file: string): string {
  const holding = mountsOf(tree)
    .map(({ point }) => point)
    .filter((point) => point === '/' || file === point || file.startsWith(`${point}/`));
  return holding.sort((one, other) => other.length - one.length)[0] ?? '/';
}

function readCommands(directory: string): RecordedCommand[] {
  if (!fs.existsSync(directory)) return [];
  return fs.readdirSync(directory).map((name) => {
    const [first = '', ...rest] = fs.readFileSync(path.join(directory, name), 'utf8').split('\n');
    const exit = /^\[exit (\d+)\]$/.exec(rest.findLast((line) => line !== '') ?? '');
    const lines = exit === null ? rest : rest.slice(0, rest.lastIndexOf(exit[0]));
    const stdout = lines.join('\n') + (exit === null || lines.length === 0 ? '' : '\n');
    return {
      words: first.replace(/^\$ /, ''),
      result: { status: Number(exit?.[1] ?? 0), stdout, stderr: '' },
    };
  });
}

function answer(commands: readonly RecordedCommand[], tree: HostTree, words: string[]): CommandResult | null {
  const known = commands.find((command) => command.words === words.join(' '));
  if (known !== undefined) return known.result;
  const [program = ''] = words;
  const places = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'];
  const isThere =
    commands.some((command) => command.words.split(' ')[0] === program) ||
    places.some((directory) => tree.follow(`${directory}/${program}`) !== null);
  return isThere ? { status: 127, stdout: '', stderr: `not recorded: ${words.join(' ')}` } : null;
}

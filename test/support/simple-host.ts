// A host that is made up in a test: files by path, outputs of programs by command line.
import type { CommandResult, Host, RunOptions } from '../../agent/prerequisites/host.ts';

export interface SimpleHost {
  files?: Readonly<Record<string, string>>;
  /** `PROGRAM ARGUMENTS` to what it prints, or to how it ends; any other is not there. */
  commands?: Readonly<Record<string, string | Partial<CommandResult>>>;
  names?: Readonly<Record<string, string[]>>;
  /** `HOST:PORT` that answer. */
  ports?: readonly string[];
  architecture?: string;
  uid?: number;
  /** Told of each program that is run. */
  ran?: (program: string, args: readonly string[], options: RunOptions | undefined) => void;
}

export function simpleHost(made: SimpleHost): Host {
  const { files = {}, commands = {}, names = {}, ports = [], architecture = 'x64', uid = 0 } = made;
  const isDirectory = (path: string): boolean =>
    Object.keys(files).some((file) => file.startsWith(`${path}/`));
  const facts = { mode: 0o644, uid: 0, gid: 0, device: '8:1', node: null, modifiedMs: 0 };
  return {
    read: (path) => files[path] ?? null,
    readBytes: () => null,
    list: (path) => {
      if (!isDirectory(path)) return null;
      const inside = Object.keys(files).filter((file) => file.startsWith(`${path}/`));
      return [...new Set(inside.map((file) => file.slice(path.length + 1).split('/')[0] ?? ''))].sort();
    },
    link: () => null,
    realPath: (path) => (path in files || isDirectory(path) ? path : null),
    stat: (path) => {
      if (path in files) return { ...facts, kind: 'file', size: files[path]?.length ?? 0 };
      return isDirectory(path) ? { ...facts, kind: 'directory', size: 0 } : null;
    },
    statfs: () => null,
    run: async (program, args, options) => {
      made.ran?.(program, args, options);
      const said = commands[[program, ...args].join(' ')];
      if (said === undefined) return null;
      const result = typeof said === 'string' ? { stdout: said } : said;
      return { status: 0, stdout: '', stderr: '', ...result };
    },
    tryWrite: () => Promise.resolve(null),
    resolve: async (name) => names[name] ?? null,
    tryConnect: async (host, port) => (ports.includes(`${host}:${port}`) ? null : 'ECONNREFUSED'),
    now: () => Date.parse('2026-01-31T12:00:00Z'),
    architecture,
    uid,
  };
}

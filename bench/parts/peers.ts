// The servers that ours is measured beside, each over files of its own.
import fs from 'node:fs';
import { join } from 'node:path';
import { nbdUri } from './master-target.ts';
import { runCommand, startServer, type Server } from './processes.ts';

export interface Peer {
  server: Server;
  uri: string;
  /** The socket that it listens on. */
  path: string;
  stop(): Promise<void>;
}

/** A raw file with all of its blocks allocated and written, as a disk in use has: no holes. */
export async function writtenFile(path: string, bytes: number): Promise<void> {
  const mebibytes = Math.ceil(bytes / 1024 ** 2);
  await runCommand([
    'dd',
    'if=/dev/zero',
    `of=${path}`,
    'bs=1M',
    `count=${mebibytes}`,
    'conv=fsync',
    'status=none',
  ]);
}

/** Overwrites a file in place and keeps nothing of what was there. */
export function nbdkitFile(directory: string, file: string): Promise<Peer> {
  return serve(directory, (socket) => ['nbdkit', '--foreground', '--unix', socket, 'file', file], []);
}

/** Keeps the old data: the file stays as it is, writes go to a file that goes with the server. */
export function nbdkitCow(directory: string, file: string): Promise<Peer> {
  return serve(
    directory,
    (socket) => ['nbdkit', '--foreground', '--unix', socket, '--filter=cow', 'file', file],
    [],
  );
}

/** Keeps the old data: a fresh qcow2 overlay over the file. */
export async function qemuOverlay(directory: string, file: string): Promise<Peer> {
  const overlay = join(directory, 'overlay.qcow2');
  await createOverlay(overlay, file, 'raw');
  return serveQcow2(directory, overlay, [overlay]);
}

export function serveQcow2(
  directory: string,
  image: string,
  remove: readonly string[],
  more: readonly string[] = [],
): Promise<Peer> {
  return serve(
    directory,
    (socket) => [
      'qemu-nbd',
      '--persistent',
      '--shared=4',
      '--format=qcow2',
      ...more,
      `--socket=${socket}`,
      image,
    ],
    remove,
  );
}

export async function createOverlay(overlay: string, below: string, format: 'raw' | 'qcow2'): Promise<void> {
  await runCommand(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', below, '-F', format, overlay]);
}

async function serve(
  directory: string,
  command: (socket: string) => string[],
  remove: readonly string[],
): Promise<Peer> {
  const socket = join(directory, 'peer.sock');
  fs.rmSync(socket, { force: true });
  const server = await startServer(command(socket), () => fs.existsSync(socket));
  return {
    server,
    uri: nbdUri(socket),
    path: socket,
    async stop() {
      await server.stop();
      for (const path of remove) fs.rmSync(path, { force: true });
    },
  };
}

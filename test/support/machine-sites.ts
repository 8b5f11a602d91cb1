// Several machines with a known history on one stopped master target, for tests that damage their files.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { connectControl, type ControlClient } from '../../agent/control/client.ts';
import { readCursor } from '../../agent/replica/cursor.ts';
import { MasterTarget, nbdUri, run, runOk, until } from './homeward.ts';

/** How many writes each machine has. */
export const blocks = 40;

/** One machine on a stopped master target, and where its things are. */
export interface Site {
  id: string;
  name: string;
  directory: string;
  replica: string;
  segments: string[];
}

/** Machines with the same 40 writes of 64 KiB, pattern n + 1 at block n, in segments of 1 MiB. */
export async function sites(
  t: Test,
  names: readonly string[],
  end: 'stopped' | 'killed when idle' = 'stopped',
): Promise<{ target: MasterTarget; sites: Map<string, Site> }> {
  const target = await MasterTarget.start(t, { SegmentBytes: '1M' });
  const found = new Map<string, Site>();
  const writes = Array.from({ length: blocks }, (_, n) => ['-c', `write -P ${n + 1} ${n * 64}k 64k`]).flat();
  await withClient(target, async (client) => {
    for (const name of names) {
      const socket = target.inDirectory(`${name}.sock`);
      const disks = [{ name: 'root', sizeBytes: 16 * 1024 * 1024 }];
      const { id } = await client.openIngest({
        machine: name,
        disks,
        listen: `unix:${socket}`,
        seeding: false,
      });
      await runOk('qemu-io', ['-f', 'raw', ...writes, '-c', 'flush', nbdUri(socket, 'root')]);
      const directory = target.inData('retention', id);
      const segments = fs
        .readdirSync(path.join(directory, 'redo'))
        .filter((file) => file.endsWith('.seg'))
        .sort()
        .map((file) => path.join(directory, 'redo', file));
      found.set(name, { id, name, directory, replica: target.inData('replicas', id), segments });
    }
  });
  if (end === 'stopped') t.equal(await target.stop(), 0);
  else {
    const cursors = [...found.values()].map(({ directory }) => path.join(directory, 'cursor'));
    const isNoted = (cursor: string): boolean => readCursor(cursor)?.durable === blocks;
    await until('the cursors say what is durable', () => cursors.every(isNoted));
    await target.kill();
  }
  return { target, sites: found };
}

export async function withClient(
  target: MasterTarget,
  use: (client: ControlClient) => Promise<void>,
): Promise<void> {
  const client = connectControl(target.control);
  try {
    await use(client);
  } finally {
    await client.close();
  }
}

export async function goesOn(t: Test, target: MasterTarget, name: string): Promise<void> {
  const io = ['-c', 'read -P 1 0 64k', '-c', 'write -P 99 8m 64k', '-c', 'flush', '-c', 'read -P 99 8m 64k'];
  const { status, out, err } = await run('qemu-io', [
    '-f',
    'raw',
    ...io,
    nbdUri(target.inDirectory(`${name}.sock`), 'root'),
  ]);
  t.equal(status, 0, `machine ${name} goes on ${out}${err}`);
  t.equal((await target.status(name)).state, 'ok');
}

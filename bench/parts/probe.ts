// Single requests over NBD, for what counts to the first answer.
import { Command, CommandFlag } from '../../core/nbd/protocol.ts';
import { KiB } from '../../core/units.ts';
import { NbdClient } from '../../test/support/nbd-client.ts';

export const probeBytes = 4 * KiB;

/** Connects, reads one block, and goes. */
export async function readOnce(path: string, name: string, offset: number): Promise<Buffer> {
  const client = await NbdClient.open({ path }, name, { structured: false });
  try {
    const { errno, data } = await client.ask(Command.read, offset, probeBytes);
    if (errno !== 0 || data === null) throw new Error(`the read of ${path} failed with ${errno}`);
    return data;
  } finally {
    client.socket.destroy();
  }
}

/** Connects, writes one block durably, and goes. */
export async function writeOnce(path: string, name: string, offset: number): Promise<void> {
  const client = await NbdClient.open({ path }, name, { structured: false });
  try {
    const block = Buffer.alloc(probeBytes, offset % 251);
    const { errno } = await client.ask(Command.write, offset, probeBytes, block, CommandFlag.fua);
    if (errno !== 0) throw new Error(`the write to ${path} failed with ${errno}`);
  } finally {
    client.socket.destroy();
  }
}

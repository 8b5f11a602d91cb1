// Connects to a Unix socket of a program that has just been started.
import net from 'node:net';
import { errnoOf } from '../../core/errors.ts';
import { until } from '../support/homeward.ts';

export async function connectTo(path: string): Promise<net.Socket> {
  const connected: net.Socket[] = [];
  await until(`somebody to listen at ${path}`, async () => {
    const socket = net.connect(path);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
    } catch (error) {
      if (errnoOf(error) === 'ECONNREFUSED' || errnoOf(error) === 'ENOENT') return false;
      throw error;
    }
    connected.push(socket);
    return true;
  });
  const [socket] = connected;
  if (socket === undefined) throw new Error(`nobody listens at ${path}`);
  // Whoever reads from it sees that it ends.
  socket.on('error', () => undefined);
  return socket;
}

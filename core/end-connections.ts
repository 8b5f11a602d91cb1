// Ends the connections of a TLS server that closes: `close` waits for those that have not agreed on TLS yet,
// and `closeAllConnections` does not know of them.
import type { Server, Socket } from 'node:net';

/** Gives back what ends the connections of `server`, and all that come later. */
export function endsConnections(server: Server): () => void {
  const sockets = new Set<Socket>();
  let isEnding = false;
  server.on('connection', (socket: Socket) => {
    if (isEnding) return void socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return () => {
    isEnding = true;
    for (const socket of sockets) socket.destroy();
  };
}

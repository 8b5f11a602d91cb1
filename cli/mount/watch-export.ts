// Holds one connection to an NBD export, by which one knows at once that its server has closed it.
import { connect } from 'node:net';

const greetingBytes = 18;
const magic = 0x49484156454f5054n; // "IHAVEOPT"
const exportNameOption = 1;
/** Fixed newstyle, no zeroes: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md */
const flags = 3;

/** `ended` resolves when the server is gone or ends it; `close` ends it from here. */
export function watchExport(socketPath: string, name: string): { ended: Promise<void>; close(): void } {
  const socket = connect({ path: socketPath });
  let received = 0;
  socket.on('data', ({ length }: Buffer) => {
    const isGreeted = received < greetingBytes && received + length >= greetingBytes;
    received += length;
    if (isGreeted) socket.write(opening(name));
  });
  const ended = new Promise<void>((resolve) => {
    socket.once('end', resolve);
    socket.once('close', () => resolve());
    socket.on('error', () => resolve());
  });
  return { ended, close: () => void socket.destroy() };
}

function opening(name: string): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32BE(flags, 0);
  bytes.writeBigUInt64BE(magic, 4);
  bytes.writeUInt32BE(exportNameOption, 12);
  bytes.writeUInt32BE(Buffer.byteLength(name), 16);
  return Buffer.concat([bytes, Buffer.from(name)]);
}

// Reads a view whose history is damaged: what it gives has to be right, and what it cannot give is an error.
import { NbdErrno } from '../../core/nbd/export.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { diskName, historyDiskBytes, socketOf, type HistorySite, type View } from './history-site.ts';
import { NbdClient } from './nbd-client.ts';
import { sectorBytes } from './oracle.ts';

const stretchBytes = 64 * 1024;
/** What cannot be read is told apart in pieces of this. */
const pieceBytes = 4096;

/** Everything that can be read is exactly as of the view's LSN; gives back how many sectors cannot. */
export async function checkReadable(site: HistorySite, view: View, what: string): Promise<number> {
  const { oracle, t } = site;
  const changes = site.changesAt(view.lsn);
  const { image, unread } = await readWhatCan(socketOf(view));
  const state = oracle.stateAfter(changes);
  for (const sector of unread) {
    const sequence = state[sector] ?? 0;
    if (sequence === 0) continue;
    const right = oracle.data({ kind: 'write', sequence, first: sector, count: 1 });
    right.copy(image, sector * sectorBytes);
  }
  t.same(oracle.compare(image, changes), [], `lsn:${view.lsn}: ${what}: ${unread.length} sectors unread`);
  return unread.length;
}

async function readWhatCan(socket: string): Promise<{ image: Buffer; unread: number[] }> {
  const nbd = await NbdClient.open({ path: socket }, diskName, { structured: false });
  const image = Buffer.alloc(historyDiskBytes);
  const unread: number[] = [];
  const read = async (at: number, length: number): Promise<boolean> => {
    const { errno, data } = await nbd.ask(Command.read, at, length);
    if (errno === NbdErrno.ok) data?.copy(image, at);
    else if (errno !== NbdErrno.EIO) throw new Error(`reading at ${at} failed with errno ${errno}`);
    return errno === NbdErrno.ok;
  };
  for (let at = 0; at < historyDiskBytes; at += stretchBytes) {
    if (await read(at, stretchBytes)) continue;
    for (let piece = at; piece < at + stretchBytes; piece += pieceBytes) {
      if (await read(piece, pieceBytes)) continue;
      for (let from = piece; from < piece + pieceBytes; from += sectorBytes) unread.push(from / sectorBytes);
    }
  }
  nbd.socket.destroy();
  return { image, unread };
}

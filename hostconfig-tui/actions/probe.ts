// What answers at a port, when it is not what was expected there.
import net from 'node:net';
import { Pool } from 'undici';
import { formatAddress, type Address } from '../../core/identity/address.ts';
import { checkAnswer, jsonCall } from '../../core/identity/http-client.ts';
import { connectUnchecked } from '../../core/identity/tls.ts';
import { limits } from '../../core/limits.ts';
import { z } from 'zod';

export type Speaks = 'ssh' | 'http' | 'nothing-known';

const greetingBytes = 256;

/** SSH says who it is as soon as it is connected to; HTTP when it is asked. */
export function probeSpeech(server: Address, signal: AbortSignal): Promise<Speaks> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = net.connect({ ...server });
    const settle = (): void => {
      clearTimeout(ask);
      clearTimeout(end);
      signal.removeEventListener('abort', settle);
      socket.destroy();
      resolve(speechOf(heard));
    };
    const ask = setTimeout(() => socket.write('HEAD / HTTP/1.0\r\n\r\n'), limits.probeQuietMs);
    const end = setTimeout(settle, limits.probeMs);
    signal.addEventListener('abort', settle);
    socket.on('data', (piece: Buffer) => {
      heard += piece.toString('latin1').slice(0, greetingBytes);
      if (speechOf(heard) !== 'nothing-known' || heard.length >= greetingBytes) settle();
    });
    socket.on('error', settle);
    socket.on('close', settle);
  });
}

/** RFC 4253, 4.2: lines may stand before the one with the version. */
export function speechOf(heard: string): Speaks {
  if (/^SSH-\d/m.test(heard)) return 'ssh';
  return /^HTTP\/\d/.test(heard) ? 'http' : 'nothing-known';
}

const describedSchema = z.object({ info: z.object({ title: z.string() }) });

/**
 * Whether a configuration server of ours seems to be there: by the description of its API, which it gives to
 * everybody. It is a guess to be offered; the enrolment proves it.
 */
export async function seemsOurs(server: Address, signal: AbortSignal): Promise<boolean> {
  const address = formatAddress(server.host, server.port);
  const pool = new Pool(`https://${address}`, {
    connections: 1,
    connect: (_target, callback) => {
      connectUnchecked({ ...server, signal, timeoutMs: limits.probeMs }).then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
    },
  });
  try {
    const call = { method: 'GET', path: '/api/v1/openapi.json', signal, timeoutMs: limits.probeMs } as const;
    const { info } = checkAnswer(describedSchema, await jsonCall(pool, address, call), address);
    return info.title === 'Homeward configuration server';
  } catch {
    return false; // whatever is there, it is not worth offering
  } finally {
    await pool.destroy();
  }
}

// The version that a configuration server tells everybody, for a host that has not enrolled with it: whoever
// is newer than its server learns so before anything is installed.
import { Pool } from 'undici';
import { z } from 'zod';
import { formatAddress, type Address } from '../identity/address.ts';
import { checkAnswer, jsonCall } from '../identity/http-client.ts';
import { connectUnchecked } from '../identity/tls.ts';
import { limits } from '../limits.ts';

const describedSchema = z.object({
  info: z.object({
    title: z.literal('Homeward configuration server'),
    version: z.string().regex(/^[0-9A-Za-z.+-]{1,64}$/),
  }),
});

/**
 * Of the description of its API. Nothing proves it: a liar gains nothing but that the host does not install,
 * and the enrolment looks again. Throws why it cannot be had.
 */
export async function askPublicVersion(server: Address): Promise<string> {
  const address = formatAddress(server.host, server.port);
  const timeoutMs = limits.checkConnectMs;
  const pool = new Pool(`https://${address}`, {
    connections: 1,
    connect: (_target, callback) => {
      connectUnchecked({ ...server, timeoutMs }).then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
    },
  });
  try {
    const call = { method: 'GET', path: '/api/v1/openapi.json', timeoutMs } as const;
    return checkAnswer(describedSchema, await jsonCall(pool, address, call), address).info.version;
  } finally {
    await pool.destroy();
  }
}

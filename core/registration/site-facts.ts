// What a host may ask the configuration server about the site: time, versions, process servers.
import { z } from 'zod';
import type { HostIdentity } from '../identity/host-identity.ts';
import { checkAnswer, httpClient } from '../identity/http-client.ts';
import { limits } from '../limits.ts';

const text = z.string().max(limits.controlTextBytes);

export const siteFactsSchema = z.object({
  /** Microseconds since 1970 of the server's clock. */
  time: z.number().nonnegative(),
  version: text,
  /** Those that this host works with, or may come to work with. */
  processServers: z
    .array(z.object({ name: text, version: text, addresses: z.array(text).max(64) }))
    .max(1024),
});
export type SiteFacts = z.infer<typeof siteFactsSchema>;

export const siteFactsPath = '/api/v1/host/site';

/**
 * Asked once, with a deadline; `offsetMs` is the server's clock less ours. Throws the reason why it cannot be
 * asked; a server of an older version has no such answer.
 */
export async function askSiteFacts(identity: HostIdentity): Promise<SiteFacts & { offsetMs: number }> {
  const client = httpClient({ ...identity.configServer, identity, expect: { role: 'config-server' } });
  try {
    const asked = Date.now();
    const answer = await client.json({
      method: 'GET',
      path: siteFactsPath,
      timeoutMs: limits.checkConnectMs,
    });
    const facts = checkAnswer(siteFactsSchema, answer, client.address);
    return { ...facts, offsetMs: Math.round(facts.time / 1000 - (asked + Date.now()) / 2) };
  } finally {
    await client.close();
  }
}

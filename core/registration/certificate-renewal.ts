// Renews the certificate of a host over mutual TLS, long before it ends.
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { toHomewardError } from '../errors.ts';
import { checkIssued, createRequest } from '../identity/authority.ts';
import { dueForRenewal, replaceCertificate, type HostIdentity } from '../identity/host-identity.ts';
import { checkAnswer, type HttpClient } from '../identity/http-client.ts';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';

export interface CertificateRenewalOptions {
  identity: HostIdentity;
  data: string;
  client: HttpClient;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  renewed?(): void;
}

const answerSchema = z.object({ certificate: z.string().max(limits.pemBytes) });

/** The key stays: a new certificate is one file, so that a crash leaves the old one or the new one. */
export class CertificateRenewal {
  readonly #options: CertificateRenewalOptions;
  /** Milliseconds of the monotonic clock. */
  #notBefore = -Infinity;

  constructor(options: CertificateRenewalOptions) {
    this.#options = options;
  }

  /** Never rejects; a failure is logged, and tried again later. */
  async renewWhenDue(): Promise<void> {
    const { identity, data, clock, log, signal } = this.#options;
    if (clock.monotonicMs() < this.#notBefore) return;
    this.#notBefore = clock.monotonicMs() + limits.certificateRenewalRetryMs;
    if (!dueForRenewal(identity.certificate, clock.now() / 1000)) return;
    try {
      const certificate = await this.#ask();
      checkIssued({ ...identity, certificate }, identity, clock.now() / 1000);
      replaceCertificate(data, identity, certificate);
      log.info('certificate-renewed', { hostId: identity.hostId });
      this.#options.renewed?.();
    } catch (error) {
      if (!signal.aborted) log.warn('certificate-not-renewed', { error: toHomewardError(error) });
    }
  }

  async #ask(): Promise<string> {
    const { identity, client, signal } = this.#options;
    const answer = await client.json({
      method: 'POST',
      path: '/api/v1/host/certificate',
      body: { request: await createRequest(identity.key, identity) },
      signal,
    });
    return checkAnswer(answerSchema, answer, client.address).certificate;
  }
}

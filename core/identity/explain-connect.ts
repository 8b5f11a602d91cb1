// Why a server cannot be talked to, in words that name its address, and one error code for each reason.
import { HomewardError, type ErrorCode } from '../errors.ts';

type Reason = readonly [code: ErrorCode, says: (address: string) => string];

const notResolved: Reason = ['name-not-resolved', (address) => `the name in ${address} cannot be resolved`];
const timedOut: Reason = ['timed-out', (address) => `${address} does not answer`];
const noWay: Reason = [
  'timed-out',
  (address) => `there is no way to ${address}: host or network unreachable`,
];
const notTls: Reason = ['not-tls', (address) => `what answers at ${address} does not speak TLS`];
const oldTls: Reason = ['not-tls', (address) => `what answers at ${address} does not speak TLS 1.3`];
// A Node server also does this, without an alert, when it does not accept the certificate of a client.
const dropped: Reason = [
  'server-failed',
  (address) => `${address} closed the connection; it stopped, or does not accept this host`,
];
const outOfForce: Reason = [
  'certificate-not-vouched',
  (address) => `the certificate of ${address} is not in force by the clock of this host`,
];
const oursRefused: Reason = [
  'certificate-not-vouched',
  (address) => `${address} does not accept the certificate of this host`,
];
const theirsRefused: Reason = [
  'certificate-not-vouched',
  (address) => `the certificate that ${address} shows is not from the authority that this host knows`,
];

/** By the `code` that Node, OpenSSL or undici puts on an error. */
const reasons: readonly (readonly [codes: RegExp, reason: Reason])[] = [
  [/^(?:ENOTFOUND|EAI_[A-Z]+|ENODATA|ESERVFAIL)$/, notResolved],
  [/^ECONNREFUSED$/, ['connection-refused', (address) => `nobody listens at ${address}`]],
  [/^(?:ETIMEDOUT|UND_ERR_(?:CONNECT|HEADERS|BODY)_TIMEOUT)$/, timedOut],
  [/^(?:EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL)$/, noWay],
  [/^ERR_SSL_(?:TLSV1_ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)$/, oldTls],
  [/^ERR_SSL_.*(?:WRONG_VERSION|PACKET_LENGTH|HTTP|UNKNOWN_PROTOCOL|BAD_RECORD_TYPE|RECORD_TYPE)/, notTls],
  [/^ERR_SSL_.*ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_[A-Z]+|UNSUPPORTED_CERT)/, oursRefused],
  [/^(?:CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/, outOfForce],
  [/^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_|ERR_TLS_CERT_)/, theirsRefused],
  [/^(?:ECONNRESET|EPIPE|ECONNABORTED|UND_ERR_SOCKET|HPE_.*|ERR_SSL_.*)$/, dropped],
];

/**
 * A failure to connect or to talk to `address` (`host:port`) as an error with the code of its reason. What
 * has a code of ours already stays as it is.
 */
export function explainConnect(error: unknown, address: string): HomewardError {
  const ours = causes(error).find((each) => each instanceof HomewardError);
  if (ours !== undefined) return ours;
  for (const cause of causes(error)) {
    const found = reasons.find(([codes]) => codes.test(codeOf(cause)));
    if (found === undefined) continue;
    const [code, says] = found[1];
    return new HomewardError(code, says(address), { cause: error });
  }
  const what = error instanceof Error ? error.message : String(error);
  return new HomewardError('server-failed', `${address}: ${what}`, { cause: error });
}

/** The error, what it was caused by, and the errors of each address that was tried for a name. */
function causes(error: unknown): unknown[] {
  const found: unknown[] = [];
  const open = [error];
  while (open.length > 0 && found.length < 20) {
    const next = open.shift();
    found.push(next);
    if (next instanceof AggregateError) open.push(...(next.errors as unknown[]));
    if (next instanceof Error && next.cause !== undefined) open.push(next.cause);
  }
  return found;
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

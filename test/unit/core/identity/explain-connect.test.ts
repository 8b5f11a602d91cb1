// Checks the words and codes for reasons that a test can hardly bring about with real sockets.
import t from 'tap';
import { HomewardError } from '../../../../core/errors.ts';
import { formatAddress, parseAddress } from '../../../../core/identity/address.ts';
import { explainConnect } from '../../../../core/identity/explain-connect.ts';

const coded = (code: string): Error => Object.assign(new Error(`failed with ${code}`), { code });

t.test('each reason has its code, and names the address', async (t) => {
  const cases: [string, string, RegExp][] = [
    ['EAI_AGAIN', 'name-not-resolved', /cannot be resolved/],
    ['ETIMEDOUT', 'timed-out', /does not answer/],
    ['UND_ERR_HEADERS_TIMEOUT', 'timed-out', /does not answer/],
    ['EHOSTUNREACH', 'timed-out', /host or network unreachable/],
    ['ENETUNREACH', 'timed-out', /host or network unreachable/],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'certificate-not-vouched', /certificate of this host/],
    ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', 'certificate-not-vouched', /certificate of this host/],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'certificate-not-vouched', /certificate of this host/],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'certificate-not-vouched', /not from the authority/],
    ['CERT_NOT_YET_VALID', 'certificate-not-vouched', /by the clock of this host/],
    ['ECONNRESET', 'server-failed', /closed the connection/],
    ['ERR_OF_NEXT_YEAR', 'server-failed', /failed with ERR_OF_NEXT_YEAR/],
  ];
  for (const [found, code, message] of cases) {
    const error = explainConnect(coded(found), 'db.example:9443');
    t.match(error, { code, message }, found);
    t.match(error.message, 'db.example:9443');
  }
});

t.test('the reason is found below what wraps it, and in what each address of a name said', async (t) => {
  const wrapped = new Error('fetch failed', { cause: coded('ECONNREFUSED') });
  t.equal(explainConnect(wrapped, 'a:1').code, 'connection-refused');
  const several = new AggregateError([coded('ENETUNREACH'), coded('ECONNREFUSED')]);
  t.equal(explainConnect(several, 'a:1').code, 'timed-out');
  const ours = new HomewardError('fenced', 'x');
  t.equal(explainConnect(new Error('wrapped', { cause: ours }), 'a:1'), ours);
  t.equal(explainConnect('text', 'a:1').message, 'a:1: text');
});

t.test('an address has a host and a port, IPv6 in brackets', async (t) => {
  for (const [text, host, port] of [
    ['config.example:8443', 'config.example', 8443],
    ['10.0.0.7:1', '10.0.0.7', 1],
    ['[fe80::1]:443', 'fe80::1', 443],
  ] as const) {
    t.same(parseAddress(text), { host, port });
    t.equal(formatAddress(host, port), text);
  }
  for (const text of ['', 'a', 'a:', ':1', 'a:0', 'a:65536', 'fe80::1:443', '[x]:1', 'a b:1', 'https://a:1'])
    t.throws(() => parseAddress(text), { code: 'usage' }, text);
});

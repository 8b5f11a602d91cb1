// Checks what the authority puts into certificates, and what it takes for a request.
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import {
  certificateDer,
  checkIssued,
  createAuthority,
  createKey,
  createRequest,
  fingerprint,
  issueCertificate,
  parseRequest,
} from '../../../../core/identity/authority.ts';

const nowMs = Date.UTC(2026, 0, 31);
const dayMs = 24 * 60 * 60 * 1000;
const subject = { hostId: '8d2f7c1e-2b6a-4f0e-9a53-0c6f5a1b7d11', role: 'mobility' } as const;

const seconds = (date: Date): number => Math.floor(date.getTime() / 1000);

t.test('an authority lives 20 years, a host certificate 397 days, both from yesterday on', async (t) => {
  const authority = await createAuthority(nowMs);
  const key = createKey();
  const certificate = await issueCertificate(authority, await createRequest(key, subject), subject, nowMs);
  const [ca, host] = [new X509Certificate(authority.certificate), new X509Certificate(certificate)];
  t.equal(seconds(ca.validToDate), (nowMs + 20 * 365 * dayMs) / 1000);
  t.equal(seconds(host.validToDate), (nowMs + 397 * dayMs) / 1000);
  for (const each of [ca, host]) t.equal(seconds(each.validFromDate), (nowMs - dayMs) / 1000);
  t.equal(host.subject, `CN=${subject.hostId}\nOU=mobility`);
  t.ok(ca.ca);
  t.notOk(host.ca, 'a host cannot vouch for others');
  t.same(host.keyUsage?.toSorted(), ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'], 'server and client');
  t.ok(host.verify(ca.publicKey));
  t.equal(fingerprint(certificate), host.fingerprint256);
  t.same(certificateDer(certificate), host.raw);
  t.not(fingerprint(await issueCertificate(authority, await createRequest(key, subject), subject)), '');
});

t.test('a host certificate does not outlive the authority', async (t) => {
  const authority = await createAuthority(nowMs - 19.5 * 365 * dayMs);
  const request = await createRequest(createKey(), subject);
  const host = new X509Certificate(await issueCertificate(authority, request, subject, nowMs));
  t.equal(seconds(host.validToDate), seconds(new X509Certificate(authority.certificate).validToDate));
});

t.test('the subject of a request counts for nothing, its signature does', async (t) => {
  const authority = await createAuthority(nowMs);
  const asked = { ...subject, role: 'config-server' } as const;
  const request = await createRequest(createKey(), asked);
  const host = new X509Certificate(await issueCertificate(authority, request, subject, nowMs));
  t.equal(host.subject, `CN=${subject.hostId}\nOU=mobility`);

  const der = (await parseRequest(request)).der;
  const forged = Buffer.from(der);
  forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
  const label = 'CERTIFICATE REQUEST-----';
  const pem = `-----BEGIN ${label}\n${forged.toString('base64')}\n-----END ${label}\n`;
  const rsa = 'MIICWjCCAUICAQAwFTETMBEGA1UEAwwKc29tZS5wbGFjZQ==';
  for (const bad of [pem, '', 'nonsense', rsa, 'x'.repeat(9000)])
    await t.rejects(parseRequest(bad), { code: 'usage' }, JSON.stringify(bad.slice(0, 40)));
});

t.test(
  'a host takes only a certificate that is for it, its key and role, and from its authority',
  async (t) => {
    const authority = await createAuthority(nowMs);
    const other = await createAuthority(nowMs);
    const key = createKey();
    const request = await createRequest(key, subject);
    const good = await issueCertificate(authority, request, subject, nowMs);
    const given = { certificate: good, authority: authority.certificate, key };
    checkIssued(given, subject, nowMs);
    const wrong = { code: 'certificate-not-vouched' };
    t.throws(() => checkIssued(given, { ...subject, role: 'master-target' }, nowMs), wrong);
    t.throws(() => checkIssued(given, { ...subject, hostId: crypto.randomUUID() }, nowMs), wrong);
    t.throws(() => checkIssued({ ...given, key: createKey() }, subject, nowMs), wrong);
    t.throws(() => checkIssued({ ...given, authority: other.certificate }, subject, nowMs), wrong);
    t.throws(
      () => checkIssued({ ...given, authority: good }, subject, nowMs),
      wrong,
      'a host vouches for nobody',
    );
    t.throws(() => checkIssued({ ...given, certificate: 'nonsense' }, subject, nowMs), wrong);
    t.throws(() => checkIssued(given, subject, nowMs + 400 * dayMs), wrong);
  },
);

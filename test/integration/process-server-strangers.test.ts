// A process server against hosts that are not the one: what they are told, and that they get nothing.
import { request as httpsRequest } from 'node:https';
import t from 'tap';
import { openChain } from '../../core/chain/open-chain.ts';
import { createAuthority, createRequest, issueCertificate } from '../../core/identity/authority.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import { SpoolSite } from '../support/spool-site.ts';

const dayMs = 24 * 60 * 60 * 1000;

t.test('a host with a wrong certificate hears why in words', async (t) => {
  const site = await SpoolSite.start(t);
  const source = await site.identities.host('mobility');
  const open = (identity: HostIdentity): Promise<unknown> =>
    openChain({
      identity,
      addresses: [site.daemon?.address ?? ''],
      hostId: site.hostId,
      signal: AbortSignal.timeout(10_000),
    });
  const request = await createRequest(source.key, source);
  const old = await issueCertificate(site.identities.authority, request, source, Date.now() - 500 * dayMs);
  const address = new RegExp(`^${site.daemon?.address}: `);
  await t.rejects(open({ ...source, certificate: old }), {
    code: 'certificate-not-vouched',
    message: /127.0.0.1:\d+: the certificate of this host counts from .* to .*; here it is/,
    hint: /clock/,
  });
  const foreign = await issueCertificate(await createAuthority(), request, source);
  await t.rejects(open({ ...source, certificate: foreign }), {
    code: 'certificate-not-vouched',
    message: address,
    hint: /enrol again/,
  });
});

t.test('without a certificate there is nothing to see', async (t) => {
  const site = await SpoolSite.start(t);
  const ask = (path: string, headers = {}): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const { port } = site;
      const asked = httpsRequest({ host: '127.0.0.1', port, path, headers, rejectUnauthorized: false });
      asked.on('response', (response) => {
        let text = '';
        response.on('data', (part: Buffer) => (text += part.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      asked.on('upgrade', () => reject(new Error('it was let in')));
      asked.on('error', reject);
      asked.end();
    });
  t.match(await ask('/api/v1/health'), { status: 403, text: /not-allowed.*certificate of a host/ });
  t.match(await ask('/../../etc/passwd'), { status: 403 });
  const upgrade = { connection: 'upgrade', upgrade: 'homeward-chain/1' };
  t.match(await ask('/api/v1/stream', upgrade), { status: 403, text: /not-allowed/ });
  t.match(await ask('/api/v1/other', upgrade), { status: 403 });
});

t.test('a stream is for the host, the role and the epoch that were signed, and for no other', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const { assignment, source, masterTarget } = machine;
  const other = await site.identities.host('mobility');
  const refused = async (made: Promise<{ ended?: unknown }>, message: RegExp): Promise<void> => {
    t.match((await made).ended, { code: 'not-assigned', message }, String(message));
  };
  await refused(site.source(machine, {}, masterTarget), /to source .* not to master-target/);
  await refused(site.target(machine, {}, source), /to master target .* not to mobility/);
  await refused(site.source(machine, {}, other), /not to mobility/);
  const asBoth = { ...assignment, epoch: 2, masterTarget: source.hostId };
  await refused(site.target({ ...machine, assignment: asBoth }, {}, source), /not to mobility/);
  const next = { ...assignment, epoch: 3 };
  const welcomed = await site.source({ ...machine, assignment: next });
  t.ok(welcomed.welcomed);
  await refused(site.source(machine), /epoch 1, but epoch 3 is known/);
  await refused(
    site.source({ ...machine, assignment: { ...next, source: other.hostId } }),
    /two assignments/,
  );
  const ended = { ...machine, assignment: { ...next, epoch: 4, ended: true } };
  await refused(site.source(ended), /not protected any more/);
  await refused(site.source({ ...machine, assignment: next }), /epoch 3, but epoch 4/);
  const elsewhere = { ...next, epoch: 9, processServer: { hostId: other.hostId, addresses: [] } };
  await refused(site.source({ ...machine, assignment: elsewhere }), /assigned to process server/);
  const sign = site.sign.bind(site);
  site.sign = (given) => ({ ...sign(given), text: JSON.stringify({ ...given, source: other.hostId }) });
  await refused(site.source(machine, {}, other), /has not signed/);
  site.sign = (given) => ({ text: sign(given).text, signature: 'AAAA' });
  await refused(site.source(machine), /has not signed/);
  site.sign = (given) => ({ text: `${sign(given).text}${' '.repeat(2 ** 17)}`, signature: '' });
  await refused(site.source(machine), /has not signed/);
});

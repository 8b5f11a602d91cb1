// What becomes of hosts that are removed, that pretend, or that were trusted once.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { verifyAssignment } from '../../core/identity/assignment.ts';
import { createKey } from '../../core/identity/authority.ts';
import { ensureHostId } from '../../core/identity/host-identity.ts';
import { httpClient } from '../../core/identity/http-client.ts';
import { ConfigSite, GiB, sourceReport, type TestHost } from '../support/config-site.ts';
import { until } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.test('a source that is removed opens nothing any more: its assignments end', async (t) => {
  const site = await ConfigSite.start(t);
  const { spool, target, source } = await site.chain();
  await site.client.protect({ machine: 'web' });
  await t.rejects(site.client.removeHost('ps'), { code: 'conflict', hint: /protect web/ });
  await t.rejects(site.client.removeHost('mt'), { code: 'conflict' });
  await site.client.removeHost('web');
  const told = ({ identity, assignments: [signed] }: TestHost) =>
    signed === undefined ? null : verifyAssignment(identity.authority, signed);
  for (const host of [spool, target]) {
    await until('the end to be heard', () => told(host)?.ended === true);
    t.match(told(host), { epoch: 2, ended: true, source: source.identity.hostId });
  }
  t.match(await site.client.machines(), [{ name: 'web', protected: false }]);
  const events = await site.client.events({ limit: 100 });
  t.match(events.slice(-2), [
    { kind: 'unprotected', severity: 'warning', message: /source was removed/ },
    { kind: 'removed' },
  ]);
  const machine = source.said.source?.machine ?? '';
  const heir = await site.source('web', { machine }, { data: path.join(site.directory, 'heir') });
  await until('the machine to have its heir', async () => {
    const [found] = await site.client.machines();
    return found?.source.id === heir.identity.hostId;
  });
  t.match(
    await site.client.machines(),
    [{ name: 'web', protected: false }],
    'that is for an operator to say',
  );
  t.match(await site.client.protect({ machine: 'web' }), { epoch: 3, source: heir.identity.hostId });
  t.match(await site.client.removeHost('web'), { id: heir.identity.hostId });
});

t.test('the id of a trusted host is no secret: it lets in only the first who has it', async (t) => {
  const data = path.join(temporaryDirectory(t), 'mt');
  const { hostId } = ensureHostId(data, 'master-target', 'mt');
  const site = await ConfigSite.start(t, [hostId]);
  await site.enrol('master-target', 'mt', { data });
  const thief = path.join(site.directory, 'thief');
  fs.cpSync(data, thief, { recursive: true });
  fs.rmSync(path.join(thief, 'identity', 'cert.pem'));
  fs.writeFileSync(path.join(thief, 'identity', 'key.pem'), createKey());
  site.enrol('master-target', 'mt', { data: thief }).catch(() => undefined);
  await until('it to ask', async () => (await site.client.hosts()).length === 2);
  t.match(await site.client.hosts(), [
    { id: hostId, state: 'joined' },
    { id: hostId, state: 'waiting', reason: 'host-id-taken' },
  ]);
});

t.test('a yes is for what the operator saw: who changes its name or id meanwhile waits anew', async (t) => {
  const site = await ConfigSite.start(t);
  const data = path.join(site.directory, 'ps');
  const asks = (name: string): void =>
    void site.enrol('process-server', name, { data }).catch(() => undefined);
  asks('ps1');
  await until('it to ask', async () => (await site.client.hosts()).length === 1);
  asks('ps2');
  await until('the name to follow', async () => (await site.client.hosts())[0]?.name === 'ps2');
  t.equal((await site.client.hosts()).length, 1);
});

t.test('a source takes no name of another machine, and reports only so many', async (t) => {
  const site = await ConfigSite.start(t);
  await site.source('web');
  await site.enrol('mobility', 'db');
  const thief = await site.enrol('mobility', 'thief');
  const client = httpClient({ ...thief.configServer, identity: thief, expect: { role: 'config-server' } });
  t.teardown(() => client.close());
  const beat = (source: object, more: object = {}): Promise<unknown> =>
    client.json({
      method: 'POST',
      path: '/api/v1/host/heartbeat',
      body: { version: '0.1.0', time: Date.now() * 1000, addresses: [], disks: [], source, ...more },
    });
  await t.rejects(beat(sourceReport('web')), { code: 'not-allowed', message: /belongs to the host/ });
  await t.rejects(beat(sourceReport('db')), { code: 'not-allowed' }, 'also one that was not heard yet');
  await t.rejects(beat(sourceReport('../x')), { code: 'bad-name' });
  const machine = crypto.randomUUID().toUpperCase();
  await t.rejects(beat(sourceReport('thief', { machine })), { code: 'usage' }, 'an id has one spelling');
  const disks = [{ name: '../../etc/x', size: GiB, kind: 'front' as const }];
  await t.rejects(beat(sourceReport('thief', { disks })), { code: 'bad-name' });
  await t.rejects(beat(sourceReport('thief'), { addresses: ['x y'] }), { code: 'usage' });
  await t.rejects(beat(sourceReport('thief'), { more: 'x'.repeat(2 ** 20) }), { code: 'usage' });
  for (let count = 0; count < 16; count += 1) await beat(sourceReport('thief'));
  await t.rejects(beat(sourceReport('thief')), { code: 'not-allowed', message: /16 machines already/ });
  t.equal((await site.client.machines()).length, 17);
});

t.test('a home that is not to be written keeps no configuration server from starting', async (t) => {
  const site = await ConfigSite.start(t);
  const own = path.join(site.directory, '.config');
  fs.rmSync(own, { recursive: true });
  fs.symlinkSync('nowhere', own);
  await site.restart();
  t.match(site.logged.join(''), /event=operator-file-not-written/);
  fs.rmSync(own);
  if (process.getuid?.() === 0) {
    fs.chownSync(site.directory, 1, 1);
    await site.restart();
    t.match(site.logged.join(''), /operator-file-not-written.*belongs to another user/, 'as under sudo');
    t.notOk(fs.existsSync(own));
  }
  t.same(await site.client.hosts(), []);
});

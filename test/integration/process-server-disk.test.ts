// A process server whose disk is full or fails, and who may talk to it at all.
import https from 'node:https';
import tls from 'node:tls';
import t from 'tap';
import { until } from '../support/homeward.ts';
import { makeRecords, SpoolSite } from '../support/spool-site.ts';

t.test('a full disk loses nothing: the source is told, and all goes on when there is space', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  source.send(...makeRecords(machine, 1, 10));
  await source.spooled(10);
  site.faults.allocate = true;
  source.send(...makeRecords(machine, 11, 100));
  await until('full', () => source.notes.some((note) => note.kind === 'room' && note.state === 'full'));
  t.ok(source.acked.spooled < 100);
  t.equal(source.ended, undefined);
  site.faults.allocate = false;
  await source.spooled(100);
  t.match(source.notes.at(-1), { kind: 'room', state: 'ok' });
  await target.received(100);
  t.same(
    target.lsns,
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
});

t.test('nothing is acknowledged while syncs fail, and everything afterwards', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  source.send(...makeRecords(machine, 1, 10));
  await source.spooled(10);
  site.faults.sync = true;
  source.send(...makeRecords(machine, 11, 20));
  await until('the failure', () => site.log.join('').includes('event=journal-failed'));
  source.send(...makeRecords(machine, 21, 30));
  t.equal(source.acked.spooled, 10);
  t.equal(target.lsns.at(-1), 10, 'what is not durable is not passed on');
  site.faults.sync = false;
  await source.spooled(30);
  await target.received(30);
  t.same(
    target.lsns,
    Array.from({ length: 30 }, (_, index) => index + 1),
  );
});

t.test('health is told to hosts of the authority only', async (t) => {
  const site = await SpoolSite.start(t);
  const { key, certificate, authority } = await site.identities.host('mobility');
  const place = { host: '127.0.0.1', port: site.port, ca: authority };
  const answer = await new Promise<string>((resolve, reject) => {
    const options = { ...place, key, cert: certificate, checkServerIdentity: () => undefined, agent: false };
    https
      .get({ ...options, path: '/api/v1/health' }, (response) => {
        response.setEncoding('utf8').on('data', resolve);
      })
      .on('error', reject);
  });
  t.match(JSON.parse(answer), { role: 'process-server', hostId: site.hostId, version: '1.0.0', machines: 0 });
  const refusal = await new Promise<string>((resolve) => {
    const socket = tls.connect({ ...place, checkServerIdentity: () => undefined });
    let text = '';
    socket.on('data', (part: Buffer) => (text += part.toString())).on('close', () => resolve(text));
    socket.write('GET /api/v1/health HTTP/1.1\r\nHost: ps\r\n\r\n');
  });
  t.match(refusal, /^HTTP\/1\.1 403 .*not-allowed/s);
  t.notMatch(refusal, site.hostId);
});

// A view over TCP with certificates of the daemon's own making: the printed lines work, others stay out.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { X509Certificate } from 'node:crypto';
import t, { type Test } from 'tap';
import { tlsForView } from '../../agent/listen-policy.ts';
import { ensureOwnTls } from '../../agent/recovery/view-tls.ts';
import { useLines } from '../../agent/recovery/view-use.ts';
import { memoryStore } from '../../core/block/memory-store.ts';
import { silentLog } from '../../core/log.ts';
import type { Listen } from '../../core/names.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { NbdServer } from '../../core/nbd/server.ts';
import { storeExport } from '../../core/nbd/store-export.ts';
import { MiB } from '../../core/units.ts';
import { skipUnless } from '../support/needs.ts';
import { run, succeed } from '../support/store-server.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const size = 4 * MiB;
const dayMs = 86_400_000;
const skip = skipUnless({ commands: ['nbdinfo', 'nbdcopy', 'qemu-img'] });

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

async function serve(t: Test, data: string, host: string): Promise<{ listen: Listen; lines: string[] }> {
  const listen = { kind: 'tcp', host, port: await freePort() } as const;
  const { tls, clientDirectory } = await tlsForView(listen, true, { tlsDirectory: '', data });
  const store = memoryStore(size);
  await store.write(Buffer.alloc(size / 2, 'some content '), 0);
  const exports = exportList([storeExport({ name: 'root disk', store, readOnly: true })]);
  const server = new NbdServer({ exports, log: silentLog, tls });
  await server.listen({ host, port: listen.port });
  t.teardown(() => server.close(0));
  return { listen, lines: useLines(listen, ['root disk'], clientDirectory ?? '') };
}

t.test('each line that is printed works in a shell', { skip }, async (t) => {
  const data = path.join(temporaryDirectory(t), "it's, data");
  fs.mkdirSync(data);
  for (const host of ['127.0.0.1', '0.0.0.0']) {
    const { lines } = await serve(t, data, host);
    t.equal(lines.length, 3);
    const directory = temporaryDirectory(t);
    for (const line of lines) await succeed('sh', '-c', `cd ${directory} && ${line}`);
    const copied = fs.readFileSync(path.join(directory, 'root disk.raw'));
    t.equal(copied.length, size);
    t.ok(copied.subarray(0, 13).equals(Buffer.from('some content ')));
    t.match(
      await succeed(
        'qemu-img',
        'compare',
        ...['root disk.raw', 'root disk.qcow2'].map((name) => path.join(directory, name)),
      ),
      /identical/,
    );
  }
});

t.test('who has no certificate of it stays out', { skip }, async (t) => {
  const data = temporaryDirectory(t);
  const stranger = temporaryDirectory(t);
  const { listen, lines } = await serve(t, data, '127.0.0.1');
  const port = listen.kind === 'tcp' ? listen.port : 0;
  t.not((await run('nbdinfo', `nbd://127.0.0.1:${port}/root%20disk`)).status, 0, 'in plain text');
  const own = path.join(data, 'nbd-tls', 'client');
  const { clientDirectory } = await ensureOwnTls(stranger, '127.0.0.1');
  fs.copyFileSync(path.join(own, 'ca-cert.pem'), path.join(clientDirectory, 'ca-cert.pem'));
  const other = lines[0]!.replace(encodeURI(own), encodeURI(clientDirectory));
  t.not(other, lines[0]);
  t.not((await run('sh', '-c', other)).status, 0, 'with a certificate of another authority');
  await succeed('sh', '-c', lines[0]!);
});

t.test('certificates stay as they are until they are near their end or lack a name', async (t) => {
  const data = temporaryDirectory(t);
  const at = (name: string): string => fs.readFileSync(path.join(data, 'nbd-tls', name), 'utf8');
  const first = await ensureOwnTls(data, '127.0.0.1');
  const names = ['ca-cert.pem', 'ca-key.pem', 'server-cert.pem', 'server-key.pem'];
  const client = ['ca-cert.pem', 'client-cert.pem', 'client-key.pem'];
  for (const name of [...names, ...client.map((each) => `client/${each}`)])
    t.equal(fs.statSync(path.join(data, 'nbd-tls', name)).mode & 0o777, 0o600, name);
  t.same(fs.readdirSync(first.clientDirectory).sort(), client);
  const before = names.map(at);
  t.same((await ensureOwnTls(data, '127.0.0.1')).tls, first.tls);
  t.same(names.map(at), before);

  const named = await ensureOwnTls(data, 'views.example');
  t.ok(new X509Certificate(String(named.tls.cert)).checkHost('views.example'));
  t.equal(named.tls.ca, first.tls.ca);

  const clientBefore = at('client/client-cert.pem');
  const later = await ensureOwnTls(data, '127.0.0.1', Date.now() + 300 * dayMs);
  t.not(later.tls.cert, named.tls.cert);
  t.not(at('client/client-cert.pem'), clientBefore);
  t.equal(later.tls.ca, first.tls.ca, 'the authority stays');

  fs.writeFileSync(path.join(data, 'nbd-tls', 'server-cert.pem'), 'not a certificate');
  const mended = await ensureOwnTls(data, '127.0.0.1');
  t.ok(new X509Certificate(String(mended.tls.cert)).checkIP('127.0.0.1'));
});

t.test('the rules of listeners hold for views as well', async (t) => {
  const data = temporaryDirectory(t);
  const places = { tlsDirectory: '', data };
  const unix = { kind: 'unix', path: '/x.sock' } as const;
  const loopback = { kind: 'tcp', host: 'localhost', port: 1 } as const;
  const outside = { kind: 'tcp', host: '0.0.0.0', port: 1 } as const;
  const none = { tls: null, clientDirectory: null };
  t.same(await tlsForView(unix, false, places), none);
  t.same(await tlsForView(loopback, false, places), none);
  await t.rejects(tlsForView(unix, true, places), { code: 'usage' });
  await t.rejects(tlsForView(outside, false, places), { code: 'plain-tcp', hint: /--tls/ });
  t.same(fs.readdirSync(data), []);
  const configured = { tlsDirectory: path.join(data, 'none'), data };
  await t.rejects(tlsForView(outside, true, configured), { code: 'bad-config' });
  t.match(await tlsForView(loopback, true, places), {
    tls: { required: true, requireClientCertificate: true },
  });
});

// A stream to a process server over mutual TLS: opened behind the upgrade, and what goes wrong in its own
// code.
import t, { type Test } from 'tap';
import { once } from 'node:events';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ChainConnection } from '../../../../core/chain/chain-connection.ts';
import { chainPath, chainProtocol, openChain } from '../../../../core/chain/open-chain.ts';
import { encodeFrameHeader, frameHeaderBytes, FrameType } from '../../../../core/chain/frame.ts';
import { silentLog } from '../../../../core/log.ts';
import type { HostIdentity } from '../../../../core/identity/host-identity.ts';
import { peerOf, serverTls } from '../../../../core/identity/tls.ts';
import { identitySite, serveHttps, serveTcp } from '../../../support/identity-site.ts';

t.setTimeout(60_000);

const never = new AbortController().signal;

/** A process server that answers the upgrade, says `first` with it, and hands the socket on. */
async function serveChain(
  t: Test,
  identity: HostIdentity,
  first: Buffer,
  upgraded: (socket: Duplex, hostId: string | undefined) => void,
): Promise<string> {
  const server = https.createServer(serverTls(identity, 'required'));
  server.on('upgrade', (request, socket) => {
    t.match(request, { url: chainPath, headers: { upgrade: chainProtocol } });
    const lines = ['HTTP/1.1 101 Switching Protocols', 'connection: upgrade', `upgrade: ${chainProtocol}`];
    const answer = lines.join('\r\n') + '\r\n\r\n';
    socket.write(Buffer.concat([Buffer.from(answer), first]));
    upgraded(socket, peerOf(request.socket)?.hostId);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function note(json: string): Buffer {
  const body = Buffer.from(json);
  const header = Buffer.alloc(frameHeaderBytes);
  const bodyBytes = body.length;
  encodeFrameHeader(header, { type: FrameType.note, compressed: false, bodyBytes, rawBytes: bodyBytes });
  return Buffer.concat([header, body]);
}

t.test('frames go both ways behind the upgrade, and what came with it is not lost', async (t) => {
  const site = await identitySite();
  const [server, source] = [await site.host('process-server'), await site.host('mobility')];
  const body = Buffer.alloc(3 << 20, 'some content ');
  const done = Promise.withResolvers<unknown>();
  const served = Promise.withResolvers<unknown>();
  const first = note('{"kind":"sync-place","ahead":3}');
  const address = await serveChain(t, server, first, (socket, hostId) => {
    t.equal(hostId, source.hostId);
    const connection = new ChainConnection({
      socket,
      first: Buffer.alloc(0),
      log: silentLog,
      listener: {
        records: (records) => {
          t.ok(records.equals(body));
          connection.sendAck({ spooled: 1, target: 0, applied: 0 });
          connection.close();
        },
        closed: (error) => served.resolve(error),
      },
    });
  });
  const opened = await openChain({
    identity: source,
    addresses: ['127.0.0.1:1', address],
    hostId: server.hostId,
    signal: never,
  });
  const heard: unknown[] = [];
  const connection = new ChainConnection({
    ...opened,
    log: silentLog,
    listener: {
      note: (what) => heard.push(what),
      ack: (what) => heard.push(what),
      closed: (error) => done.resolve(error),
    },
  });
  connection.compress = true;
  connection.sendRecords([body]);
  t.match(await done.promise, { code: 'chain-broken' });
  t.equal(await served.promise, null);
  t.same(heard, [
    { kind: 'sync-place', ahead: 3 },
    { spooled: 1, target: 0, applied: 0 },
  ]);
});

t.test('what goes wrong has a code of its own', async (t) => {
  const site = await identitySite();
  const [server, source] = [await site.host('process-server'), await site.host('mobility')];
  const { hostId } = server;
  const open = (addresses: string[], wanted = hostId, signal = never): Promise<unknown> =>
    openChain({ identity: source, addresses, hostId: wanted, signal });
  const address = await serveChain(t, server, Buffer.alloc(0), (socket) => socket.destroy());
  await t.rejects(open([]), { code: 'connection-refused' });
  await t.rejects(open(['127.0.0.1:1']), { code: 'connection-refused' });
  await t.rejects(open(['nobody.invalid:9443']), { code: 'name-not-resolved' });
  await t.rejects(open([address], crypto.randomUUID()), { code: 'certificate-not-vouched' });
  const plain = await serveTcp(t, (socket) => socket.end('HTTP/1.1 400 No\r\n\r\n'));
  await t.rejects(open([`127.0.0.1:${plain}`]), { code: 'not-tls' });
  const noChain = await serveHttps(t, server, () => ({ status: 404, body: {} }));
  await t.rejects(open([`127.0.0.1:${noChain.port}`]), { code: 'server-failed', message: /homeward-chain/ });
  const stop = new AbortController();
  const silent = await serveHttps(t, server, () => {
    stop.abort();
    return null;
  });
  await t.rejects(open([`127.0.0.1:${silent.port}`], hostId, stop.signal), { code: 'interrupted' });
  await t.rejects(open([address], hostId, AbortSignal.abort()), { code: 'interrupted' });
});

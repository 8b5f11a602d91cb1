// NBD over TLS with real clients: certificates made with openssl, libnbd and QEMU as peers.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { run, startServing, succeed } from '../support/store-server.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'];
const holder = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'subjectAltName=DNS:localhost,IP:127.0.0.1',
];

/** An authority, a server and a client certificate, under the names that libnbd and QEMU look for. */
async function makeCertificates(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  await makeCertificate(directory, 'ca', authority);
  await makeCertificate(directory, 'server', [...holder, 'extendedKeyUsage=serverAuth']);
  await makeCertificate(directory, 'client', [...holder, 'extendedKeyUsage=clientAuth']);
}

/** Signed by the authority in the same directory, or by itself if it is the authority. */
async function makeCertificate(directory: string, name: string, extensions: string[]): Promise<void> {
  const at = (file: string): string => path.join(directory, file);
  const words = (line: string): string[] => line.split(' ');
  await succeed(
    'openssl',
    ...words('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'),
    ...(name === 'ca' ? [] : ['-CA', at('ca-cert.pem'), '-CAkey', at('ca-key.pem')]),
    ...extensions.flatMap((extension) => ['-addext', extension]),
    '-subj',
    `/CN=${name}`,
    '-keyout',
    at(`${name}-key.pem`),
    '-out',
    at(`${name}-cert.pem`),
  );
}

async function serve(
  t: Test,
  certificates: string,
  ...args: string[]
): Promise<{ uri: string; plain: string; qemu: string[]; image: string }> {
  const { address } = await startServing(t, 'tcp:127.0.0.1:0', [
    '--memory',
    '64M',
    '--tls',
    certificates,
    ...args,
  ]);
  const port = address.split(':').at(-1) ?? '';
  return {
    uri: `nbds://localhost:${port}/disk0?tls-certificates=${certificates}`,
    plain: `nbd://localhost:${port}/disk0`,
    qemu: ['--object', `tls-creds-x509,id=tls0,endpoint=client,dir=${certificates}`],
    image: `driver=nbd,host=localhost,port=${port},export=disk0,tls-creds=tls0`,
  };
}

t.test('TLS with client certificates', async (t) => {
  const directory = temporaryDirectory(t);
  const certificates = path.join(directory, 'pki');
  await makeCertificates(certificates);
  const stranger = path.join(directory, 'other-pki');
  await makeCertificates(stranger);
  const { uri, plain, qemu, image } = await serve(t, certificates, '--client-certificates');

  await t.test('nbdinfo and nbdcopy work over it', async (t) => {
    t.match(await succeed('nbdinfo', uri), /newstyle-fixed with TLS, using structured packets/);
    const file = path.join(directory, 'image.raw');
    writeFileSync(file, Buffer.alloc(64 * MiB, 'some content '));
    await succeed('nbdcopy', '--flush', file, uri);
    const back = path.join(directory, 'back.raw');
    await succeed('nbdcopy', uri, back);
    t.match(await run('cmp', file, back), { status: 0, stdout: '' });
  });

  await t.test('QEMU works over it', async (t) => {
    t.match(await succeed('qemu-img', 'info', ...qemu, '--image-opts', image), /64 MiB/);
    const output = await succeed(
      'qemu-io',
      ...qemu,
      '--image-opts',
      image,
      '-c',
      'write -P 9 1M 32M',
      '-c',
      'read -P 9 1M 32M',
    );
    t.match(output, /read 33554432/);
  });

  await t.test('a client without TLS is refused, and told why', async (t) => {
    t.not((await run('nbdinfo', plain)).status, 0);
    t.match((await run('qemu-img', 'info', '-f', 'raw', plain)).stderr, /this server speaks TLS only/);
  });

  await t.test('a client of another authority, or without certificate, is refused', async (t) => {
    t.not((await run('nbdinfo', uri.replace(certificates, stranger))).status, 0);
    const bare = path.join(directory, 'bare');
    mkdirSync(bare);
    await succeed('cp', path.join(certificates, 'ca-cert.pem'), bare);
    t.not((await run('nbdinfo', '--size', uri.replace(certificates, bare))).status, 0);
    t.match(await succeed('nbdinfo', '--size', uri), /67108864/, 'and the server goes on');
  });
});

t.test('TLS that is offered only may be used or left', async (t) => {
  const certificates = path.join(temporaryDirectory(t), 'pki');
  await makeCertificates(certificates);
  const { uri, plain } = await serve(t, certificates, '--tls-offered');
  t.match(await succeed('nbdinfo', uri), /with TLS/);
  t.match(await succeed('nbdinfo', plain), /without TLS/);
  t.match(
    await succeed('qemu-io', '-f', 'raw', plain, '-c', 'write -P 9 1M 32M', '-c', 'read -P 9 1M 32M'),
    /read 33554432/,
  );
});

// Serves one store over NBD as a process of its own, for tests with real clients. Says `ready <address>` when
// it listens.
//
// --listen unix:PATH|tcp:HOST:PORT, one of --memory SIZE, --file PATH [--size SIZE] or --null SIZE, and
// --name NAME, --read-only, --tls DIR [--client-certificates] [--tls-offered], --debug
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { openFileStore } from '../../core/block/file-store.ts';
import { memoryStore } from '../../core/block/memory-store.ts';
import { createLog } from '../../core/log.ts';
import { NbdErrno, type NbdExport } from '../../core/nbd/export.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { storeExport } from '../../core/nbd/store-export.ts';
import { NbdServer } from '../../core/nbd/server.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';
import { parseSize } from '../../core/units.ts';

const { values } = parseArgs({
  options: {
    listen: { type: 'string' },
    memory: { type: 'string' },
    file: { type: 'string' },
    size: { type: 'string' },
    null: { type: 'string' },
    name: { type: 'string', default: 'disk0' },
    'read-only': { type: 'boolean', default: false },
    tls: { type: 'string' },
    'client-certificates': { type: 'boolean', default: false },
    'tls-offered': { type: 'boolean', default: false },
    debug: { type: 'boolean', default: false },
  },
});

/** Takes everything and keeps nothing: what is left is the cost of the server. */
function nullExport(name: string, size: number): NbdExport {
  return {
    name,
    description: 'keeps nothing',
    size,
    readOnly: false,
    multiConnection: true,
    read: (target, _offset, done) => {
      target.fill(0);
      done(NbdErrno.ok);
    },
    write: (_payload, _offset, _fua, _buffer, done) => done(NbdErrno.ok),
    zero: (_offset, _length, _options, done) => done(NbdErrno.ok),
    flush: (done) => done(NbdErrno.ok),
    extents: async (_offset, length) => [{ length, hole: true, zero: true }],
  };
}

function chosenExport(): NbdExport {
  const { name } = values;
  if (values.null !== undefined) return nullExport(name, parseSize(values.null));
  const store =
    values.file === undefined
      ? memoryStore(parseSize(values.memory ?? '64M'))
      : openFileStore(values.file, values.size === undefined ? {} : { create: parseSize(values.size) });
  return storeExport({ name, description: 'a disk for tests', store, readOnly: values['read-only'] });
}

function chosenTls(): NbdTls | null {
  if (values.tls === undefined) return null;
  const pem = (name: string): Buffer => readFileSync(path.join(values.tls ?? '', name));
  return {
    ca: pem('ca-cert.pem'),
    cert: pem('server-cert.pem'),
    key: pem('server-key.pem'),
    requireClientCertificate: values['client-certificates'],
    required: !values['tls-offered'],
  };
}

const server = new NbdServer({
  exports: exportList([chosenExport()]),
  log: createLog(values.debug ? 'debug' : 'info'),
  tls: chosenTls(),
});
const [kind = '', host = '', port = '0'] = (values.listen ?? '').split(':');
const address = await server.listen(kind === 'unix' ? { path: host } : { host, port: Number(port) });
process.stdout.write(
  `ready ${'path' in address ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`}\n`,
);
process.once('SIGTERM', () => {
  void server.close().then(() => process.exit(0));
});

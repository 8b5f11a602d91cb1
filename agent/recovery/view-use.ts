// The command lines by which clients reach a view over TLS.
import { isIPv6 } from 'node:net';
import { hostname } from 'node:os';
import type { Listen } from '../../core/names.ts';

/** Every address of the host. */
export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

/**
 * Lines for a shell, by export. `clientDirectory` holds ca-cert.pem, client-cert.pem and client-key.pem where
 * the client runs.
 */
export function useLines(listen: Listen, exports: readonly string[], clientDirectory: string): string[] {
  if (listen.kind !== 'tcp') return [];
  const host = isWildcard(listen.host) ? hostname() : listen.host;
  const authority = `${isIPv6(host) ? `[${host}]` : host}:${listen.port}`;
  const query = `tls-certificates=${encodeURI(clientDirectory)}`;
  const object = `tls-creds-x509,id=tls0,endpoint=client,dir=${commas(clientDirectory)}`;
  return exports.flatMap((name) => {
    const uri = `nbds://${authority}/${encodeURIComponent(name)}?${query}`;
    const image = `driver=nbd,host=${host},port=${listen.port},export=${commas(name)},tls-creds=tls0`;
    const qemu = `--object ${quoted(object)} --image-opts ${quoted(image)}`;
    return [
      `nbdinfo ${quoted(uri)}`,
      `nbdcopy ${quoted(uri)} ${quoted(`${name}.raw`)}`,
      `qemu-img convert -p ${qemu} -O qcow2 ${quoted(`${name}.qcow2`)}`,
    ];
  });
}

/** QEMU ends a value at a comma; two of them are one that belongs to it. */
const commas = (text: string): string => text.replaceAll(',', ',,');

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

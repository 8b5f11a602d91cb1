// Where the configuration server listens: 443 where it may, else 8443; the same place at every start.
import path from 'node:path';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../core/atomic-file.ts';
import { errnoOf, HomewardError } from '../core/errors.ts';
import { formatAddress, parseAddress, type Address } from '../core/identity/address.ts';
import { listenError } from '../core/listen-error.ts';
import type { Log } from '../core/log.ts';

export interface ListenOptions {
  data: string;
  /** `HOST:PORT` as given, or null: then what was found at the first start. */
  wanted: string | null;
  log: Log;
  /** Listens, and gives back the port that it got. */
  listen(address: Address): Promise<number>;
}

const anyHost = '0.0.0.0';
const usualPort = 443;
const otherPort = 8443;

/** Throws 'conflict' and 'bad-listen'. */
export async function listenSomewhere(options: ListenOptions): Promise<Address> {
  const { data, wanted, log } = options;
  if (wanted !== null) return listenAt(options, parseListenAddress(wanted));
  const known = readPlace(data);
  if (known !== null) return listenAt(options, known);
  const place = await firstFree(options);
  if (place.port !== usualPort) log.info('listening-elsewhere', { usual: usualPort, port: place.port });
  writeSealedJson(fileIn(data), format, place);
  return place;
}

async function firstFree(options: ListenOptions): Promise<Address> {
  try {
    return await listenAt(options, { host: anyHost, port: usualPort });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'EACCES' && errno !== 'EPERM' && errno !== 'EADDRINUSE') throw error;
    return listenAt(options, { host: anyHost, port: otherPort });
  }
}

async function listenAt({ listen }: ListenOptions, { host, port }: Address): Promise<Address> {
  try {
    return { host, port: await listen({ host, port }) };
  } catch (error) {
    throw listenError({ kind: 'tcp', host, port }, error);
  }
}

/** Port 0 takes any that is free. Throws 'bad-listen'. */
function parseListenAddress(text: string): Address {
  const any = /^(.+):0$/.exec(text)?.[1];
  try {
    return any === undefined ? parseAddress(text) : { ...parseAddress(`${any}:1`), port: 0 };
  } catch (error) {
    throw new HomewardError('bad-listen', `${JSON.stringify(text)} is not HOST:PORT`, {
      cause: error,
      hint: 'Give an address of this host and a port, for example --listen 0.0.0.0:8443.',
    });
  }
}

/** As programs on this host reach it. */
export function localAddress({ host, port }: Address): string {
  if (host === '0.0.0.0') return formatAddress('127.0.0.1', port);
  return formatAddress(host === '::' ? '::1' : host, port);
}

const format = 'homeward configuration server place';
const placeSchema = z.object({ host: z.string().min(1), port: z.number().int().min(1).max(65_535) });
const fileIn = (data: string): string => path.join(data, 'listen.json');

function readPlace(data: string): Address | null {
  const body = readSealedJson(fileIn(data), format);
  if (body === null) return null;
  const { data: place, error } = placeSchema.safeParse(body);
  if (error !== undefined) throw new HomewardError('damaged', `${fileIn(data)} does not hold what it should`);
  return place;
}

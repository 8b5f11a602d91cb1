// Why one cannot listen on an address, in words that name it.
import fs from 'node:fs';
import path from 'node:path';
import { errnoOf, HomewardError } from './errors.ts';
import { formatListen, type Listen } from './names.ts';

/** A failed `listen`: 'conflict' when somebody else has the address, 'bad-listen' when nobody can have it. */
export function listenError(listen: Listen, error: unknown): HomewardError {
  if (error instanceof HomewardError) return error;
  const address = formatListen(listen);
  if (errnoOf(error) === 'EADDRINUSE') {
    return new HomewardError('conflict', `${address} is in use already`, {
      cause: error,
      hint: 'Choose another address, or end what listens there.',
    });
  }
  return new HomewardError('bad-listen', `cannot listen on ${address}: ${reason(listen, error)}`, {
    cause: error,
    hint: 'Give an address of this host that may be listened on: unix:PATH or tcp:HOST:PORT.',
  });
}

function reason(listen: Listen, error: unknown): string {
  const errno = errnoOf(error);
  // Node says EACCES for a socket in a directory that is not there.
  if (listen.kind === 'unix' && !isDirectory(path.dirname(listen.path))) {
    return `${path.dirname(listen.path)} is not a directory`;
  }
  if (errno === 'EADDRNOTAVAIL') return 'this host has no such address';
  if (errno === 'ENOTFOUND' || errno === 'EAI_AGAIN') return 'the name of the host is not known';
  if (errno === 'EACCES' || errno === 'EPERM') return 'permission denied';
  return error instanceof Error ? error.message : String(error);
}

const isDirectory = (directory: string): boolean =>
  fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false;

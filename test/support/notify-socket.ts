// What a service manager hears: a datagram socket at a path, as NOTIFY_SOCKET names one.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type koffi from 'koffi';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary.ts';

export interface NotifySocket {
  path: string;
  /** All datagrams until now, in the order in which they were sent. */
  heard(): readonly string[];
  /** Whether any of them has this line. */
  hasHeard(line: string): boolean;
}

const unixFamily = 1;
const datagram = 2;
const doNotWait = 0x40;

/** A busy one takes what was sent when it is asked for it, and not before. */
export function notifySocket(t: Test, { busy = false } = {}): NotifySocket {
  const file = path.join(temporaryDirectory(t), 'notify');
  const native = createRequire(import.meta.url)('koffi') as typeof koffi;
  const libc = native.load(null);
  const socket = libc.func('int socket(int domain, int type, int protocol)') as (
    ...numbers: number[]
  ) => number;
  const bind = libc.func('int bind(int fd, void *address, uint32_t length)') as (
    fd: number,
    address: Buffer,
    length: number,
  ) => number;
  const receive = libc.func('int64_t recv(int fd, _Out_ void *data, size_t length, int flags)') as (
    fd: number,
    data: Buffer,
    length: number,
    flags: number,
  ) => number | bigint;
  const fd = socket(unixFamily, datagram, 0);
  const address = Buffer.from(`\u0001\u0000${file}\u0000`);
  if (fd < 0 || bind(fd, address, address.length) !== 0) throw new Error(`no socket at ${file}`);
  const all: string[] = [];
  const drain = (): void => {
    const data = Buffer.alloc(65_536);
    for (;;) {
      const length = Number(receive(fd, data, data.length, doNotWait));
      if (length < 0) return;
      all.push(data.toString('utf8', 0, length));
    }
  };
  // The queue holds ten, whoever sends then waits.
  const draining = busy ? undefined : setInterval(drain, 5);
  t.teardown(() => {
    clearInterval(draining);
    fs.closeSync(fd);
  });
  const heard = (): readonly string[] => {
    drain();
    return all;
  };
  return {
    path: file,
    heard,
    hasHeard: (line) => heard().some((text) => text.split('\n').includes(line)),
  };
}

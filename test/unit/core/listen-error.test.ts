// Checks the words for addresses that cannot be listened on.
import path from 'node:path';
import t from 'tap';
import { HomewardError } from '../../../core/errors.ts';
import { listenError } from '../../../core/listen-error.ts';
import { systemError } from '../../../core/system-error.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('each reason has its words, and an address that somebody has is a conflict', async (t) => {
  const directory = temporaryDirectory(t);
  const unix = { kind: 'unix', path: path.join(directory, 'x.sock') } as const;
  const nowhere = { kind: 'unix', path: path.join(directory, 'none', 'x.sock') } as const;
  const tcp = { kind: 'tcp', host: 'db.example', port: 10809 } as const;
  const cases = [
    [unix, 'EADDRINUSE', 'conflict', `unix:${unix.path} is in use already`],
    [unix, 'EACCES', 'bad-listen', `cannot listen on unix:${unix.path}: permission denied`],
    [
      nowhere,
      'EACCES',
      'bad-listen',
      `cannot listen on unix:${nowhere.path}: ${directory}/none is not a directory`,
    ],
    [
      tcp,
      'EADDRNOTAVAIL',
      'bad-listen',
      'cannot listen on tcp:db.example:10809: this host has no such address',
    ],
    [tcp, 'EIO', 'bad-listen', /cannot listen on tcp:db\.example:10809: EIO/],
  ] as const;
  for (const [listen, errno, code, message] of cases)
    t.match(listenError(listen, systemError(errno, 'listen')), { code, message });
  const unknown = Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
  t.match(listenError(tcp, unknown), { code: 'bad-listen', message: /the name of the host is not known/ });
  const ours = new HomewardError('plain-tcp', 'x');
  t.equal(listenError(tcp, ours), ours);
});

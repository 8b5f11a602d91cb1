// Checks that a directory is locked by one process at a time and free again once that one is gone.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import t from 'tap';
import { acquireLock } from '../../../core/lock.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const lockModule = path.resolve(import.meta.dirname, '../../../core/lock.ts');

t.test('a lock refuses a second holder by name until it is released', (t) => {
  const directory = temporaryDirectory(t);
  const lock = acquireLock(directory, 'master target');
  t.throws(() => acquireLock(directory, 'cli'), {
    code: 'already-running',
    message: `${directory} is in use by a master target with process id ${process.pid}`,
  });
  lock.release();
  lock.release();
  acquireLock(directory, 'another').release();
  t.end();
});

t.test('a lock held by another process is named with its pid, and dies with kill -9', async (t) => {
  const directory = temporaryDirectory(t);
  const program = `
    import { acquireLock } from ${JSON.stringify(lockModule)};
    acquireLock(${JSON.stringify(directory)}, 'master target');
    console.log('locked');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  t.throws(() => acquireLock(directory, 'cli'), {
    code: 'already-running',
    message: new RegExp(`a master target with process id ${child.pid}$`),
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  acquireLock(directory, 'cli').release();
});

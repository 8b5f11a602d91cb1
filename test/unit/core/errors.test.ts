// Checks what becomes of errors that are not ours, and that no code stands in the table for nothing.
import t from 'tap';
import { errnoOf, errorTable, HomewardError, toHomewardError } from '../../../core/errors.ts';
import { systemError } from '../../../core/system-error.ts';
import { sourceFiles } from '../../support/source-files.ts';

t.test('what a disk refuses has its code, and everything else that is not ours is a bug', async (t) => {
  for (const [errno, code] of [
    ['ENOSPC', 'no-space'],
    ['EDQUOT', 'no-space'],
    ['EROFS', 'not-writable'],
    ['EACCES', 'not-writable'],
    ['EFBIG', 'target-too-small'],
    ['EIO', 'bug'],
  ] as const) {
    const error = new Error('writing failed', { cause: systemError(errno, 'write') });
    t.match(toHomewardError(error), { code, message: 'writing failed' });
    t.equal(errnoOf(toHomewardError(error)), errno, 'the errno is kept');
  }
  t.match(toHomewardError('a word'), { code: 'bug', message: 'a word', exit: 70 });
  const ours = new HomewardError('exists', 'there');
  t.equal(toHomewardError(ours), ours);
});

t.test('every code is given by some part of the program, and met by some test', async (t) => {
  const files = sourceFiles(['.ts']);
  const holds = (lines: readonly string[], code: string): boolean =>
    lines.some((line) => line.includes(`'${code}'`));
  for (const code of Object.keys(errorTable)) {
    const given = files
      .filter(({ path: file }) => /^(agent|cli|config-server|core|mobility|process-server)\//.test(file))
      .some(({ lines }) =>
        lines.some((line) => line.includes(`'${code}'`) && !line.includes(`'${code}': kind`)),
      );
    t.ok(given, `${code} is given`);
    const met = files.some(
      ({ path: file, lines }) => file.startsWith('test/') && file.endsWith('.test.ts') && holds(lines, code),
    );
    t.ok(met, `${code} is met by a test`);
  }
});

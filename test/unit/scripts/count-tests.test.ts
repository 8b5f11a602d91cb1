// The sum at the end of a test run says what really happened.
import t from 'tap';
import { countCheck, countTests, formatCounts } from '../../../scripts/count-tests.ts';

const run = (...lines: string[]): string => ['TAP version 14', ...lines, ''].join('\n');

t.test('blocks without blocks inside are the tests', async (t) => {
  const counts = countTests(
    run(
      '# Subtest: a.test.ts',
      '    # Subtest: parent',
      '        # Subtest: leaf',
      '            ok 1 - x',
      '            ok 2 - y',
      '            1..2',
      '        ok 1 - leaf # time=1ms',
      '        1..1',
      '    ok 1 - parent # time=1ms',
      '    1..1',
      'ok 1 - a.test.ts # time=2ms',
      '# Subtest: b.test.ts',
      '    ok 1 - bare',
      '    1..1',
      'ok 2 - b.test.ts',
      '1..2',
    ),
  );
  t.same(counts, { passed: 2, failed: [], skipped: [] });
});

t.test('a failure is counted once, where it happened', async (t) => {
  const counts = countTests(
    run(
      '# Subtest: a.test.ts',
      '    # Subtest: leaf',
      '        not ok 1 - x',
      '          ---',
      '          wanted: 1',
      '          found: 2',
      '          ...',
      '        not ok 2 - y',
      '        1..2',
      '    not ok 1 - leaf',
      '    1..1',
      'not ok 1 - a.test.ts',
      '1..1',
    ),
  );
  t.equal(counts.passed, 0);
  t.equal(counts.failed.length, 1);
  t.match(counts.failed[0]?.name, /a\.test\.ts.*leaf/);
  t.match(counts.failed[0]?.why, /^x\n[^]*"found": 2/, 'the first assertion says why');
});

t.test('a file that dies after tests that passed is a failure', async (t) => {
  const counts = countTests(
    run(
      '# Subtest: a.test.ts',
      '    # Subtest: leaf',
      '        ok 1 - x',
      '        1..1',
      '    ok 1 - leaf',
      '    1..1',
      'not ok 1 - a.test.ts',
      '  ---',
      '  exitCode: 3',
      '  ...',
      '1..1',
    ),
  );
  t.equal(counts.passed, 1);
  t.equal(counts.failed.length, 1);
  t.match(counts.failed[0], { name: /a\.test\.ts/, why: /"exitCode": 3/ });
});

t.test('skips are listed with their reason, also single assertions and whole files', async (t) => {
  const counts = countTests(
    run(
      '# Subtest: a.test.ts',
      '    ok 1 - leaf # SKIP no KVM here',
      '    # Subtest: other',
      '        ok 1 - x # SKIP not root',
      '        1..1',
      '    ok 2 - other',
      '    1..2',
      'ok 1 - a.test.ts',
      '# Subtest: b.test.ts',
      '    1..0 # no loop device',
      'ok 2 - b.test.ts # SKIP no loop device',
      '1..2',
    ),
  );
  t.same(
    counts.skipped.map(({ reason }) => reason),
    ['no KVM here', 'not root', 'no loop device'],
  );
  t.equal(counts.passed, 0);
  t.same(counts.failed, []);
});

t.test('a run that was cut off, or never was, is a failure', async (t) => {
  t.equal(
    countTests(run('# Subtest: a.test.ts', '    # Subtest: leaf', '        ok 1 - x')).failed.length > 0,
    true,
  );
  t.equal(countTests('').failed.length, 1);
  t.equal(countTests('Bail out! no results\n').failed.length, 1);
});

t.test('the last line is the sum, with the checks that are no TAP', async (t) => {
  const counts = {
    passed: 3,
    failed: [{ name: 'a > b', why: 'x\n{}' }],
    skipped: [{ name: 'c', reason: 'no KVM here' }],
  };
  countCheck('types (tsc)=0', counts);
  countCheck('lint (oxlint)=1', counts);
  t.equal(
    formatCounts(counts),
    [
      'Skipped:\n  c: no KVM here\n',
      'Failed:\n  a > b\n    x\n    {}\n  lint (oxlint)\n',
      '4 passed, 2 failed, 1 skipped\n',
    ].join(''),
  );
});

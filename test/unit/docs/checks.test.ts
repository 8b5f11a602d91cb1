// docs/checks.md lists the checks that there are, and no other, with their severities.
import fs from 'node:fs';
import t from 'tap';
import { allChecks } from '../../../agent/prerequisites/all-checks.ts';

t.test('docs/checks.md and the checks say the same', async (t) => {
  const text = fs.readFileSync(new URL('../../../docs/checks.md', import.meta.url), 'utf8');
  const rows = [
    ...text.matchAll(/^\| `([a-z-]+)` \| (hard|hard-unless-accepted|advice) \| (.+) \| (.+) \|$/gm),
  ];
  t.same(
    rows.map(([, id, severity]) => ({ id, severity })),
    allChecks.map(({ id, severity }) => ({ id, severity })),
  );
});

t.test('every check has an id of its own, and a title', async (t) => {
  const ids = allChecks.map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length);
  for (const { id, title } of allChecks) {
    t.match(id, /^[a-z]+(?:-[a-z]+)*$/);
    t.ok(title.length > 0 && title.length < 60, title);
  }
});

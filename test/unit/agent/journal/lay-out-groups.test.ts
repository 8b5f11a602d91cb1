// Groups are laid out so that a reader comes from one sound frame to the next, also where a hole is large.
import t from 'tap';
import { layOutGroups } from '../../../../agent/journal/lay-out-groups.ts';
import { groupHeaderBytes, syncedBlockBytes } from '../../../../core/segment-log/group.ts';
import { roundUp } from '../../../../core/units.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

/** Where a reader that begins at `start` comes to, as the format says; null when it loses its way. */
function readThrough(
  sizes: readonly number[],
  start: number,
  groups: readonly { position: number; records: number }[],
): { records: number; position: number } | null {
  let position = start;
  let records = 0;
  for (const group of groups) {
    if (group.position !== position && group.position !== roundUp(position, syncedBlockBytes)) return null;
    position = group.position + groupHeaderBytes;
    for (const size of sizes.slice(records, records + group.records)) position += size;
    records += group.records;
  }
  return { records, position };
}

t.test('whatever the groups were, there is a layout', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let times = 0; times < 2000; times++) {
    const sizes = Array.from({ length: 1 + random.below(12) }, () => 64 + random.below(3000));
    const start = random.below(9000);
    let end = start;
    for (let at = 0; at < sizes.length;) {
      if (random.chance(0.4)) end = roundUp(end, syncedBlockBytes);
      end += groupHeaderBytes;
      for (let records = random.below(4); records > 0 && at < sizes.length; records--) end += sizes[at++]!;
    }
    if (random.chance(0.5)) end = roundUp(end, syncedBlockBytes);
    const groups = layOutGroups(sizes, start, end) ?? [];
    const reached = readThrough(sizes, start, groups);
    const isThere =
      reached !== null && [reached.position, roundUp(reached.position, syncedBlockBytes)].includes(end);
    if (!isThere || reached.records !== sizes.length) t.fail(`${sizes.join(' ')} from ${start} to ${end}`);
  }
});

t.test('a hole of tens of thousands of small records does not hold up whoever waits', async (t) => {
  const sizes = Array.from({ length: 60_000 }, (_, at) => (at % 7 === 0 ? 576 : 64));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const start = 7 * syncedBlockBytes;
  for (const end of [bytes + 17 * groupHeaderBytes, roundUp(bytes + groupHeaderBytes, syncedBlockBytes)]) {
    const groups = layOutGroups(sizes, start, start + end);
    t.equal(readThrough(sizes, start, groups ?? [])?.records, sizes.length);
  }
  t.equal(layOutGroups(sizes, start, start + bytes + groupHeaderBytes + 31), null, 'there is none');
});

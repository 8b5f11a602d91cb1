// Points that are given up: undo that has gone without us is not missed for ever.
import t from 'tap';
import { Timeline, type TimelineParts } from '../../../../agent/replica/timeline.ts';

interface Played {
  timeline: Timeline;
  lines: string[];
  unlinked: string[];
}

/** `steps` are known; the ledger knows the files of `told`, of which `present` lie there. */
function played(steps: [number, number][], told: [number, number][], present: [number, number][]): Played {
  const name = ([from, to]: [number, number]): string => `${from}-${to}.seg`;
  const lines: string[] = [];
  const unlinked: string[] = [];
  const here = steps.map(([from, to]) => ({ from, to, path: `/m/undo/${name([from, to])}` }));
  const expected = new Map(
    told.map(([from, to]) => [`undo/${name([from, to])}`, { file: `undo/${name([from, to])}`, from, to }]),
  );
  const parts = {
    undoDirectory: '/m/undo',
    files: {
      list: () => present.map(name),
      unlink: (path: string) => void unlinked.push(path),
      syncDirectory: async () => undefined,
    },
    cursor: () => ({ lsn: 100, pruned: 50 }),
    undo: { steps: here, dropBelow: () => undefined },
    ledger: {
      expected: () => ({ undo: expected }),
      append: ({
        event,
        file = '',
        from,
        to,
      }: {
        event: string;
        file?: string;
        from: number;
        to: number;
      }) => {
        lines.push(`${event} ${file} ${from} ${to}`);
        expected.delete(file.replace('/m/', ''));
      },
      settle: async () => undefined,
    },
  } as unknown as TimelineParts;
  return { timeline: new Timeline(parts), lines, unlinked };
}

t.test('a file that is gone below what is given up gets its line, once', async (t) => {
  const all: [number, number][] = [
    [0, 10],
    [10, 20],
    [20, 30],
    [30, 40],
  ];
  // The second is gone; the third cannot be read, but lies there.
  const present = [all[0]!, all[2]!, all[3]!];
  const { timeline, lines, unlinked } = played([all[0]!, all[3]!], all, present);
  t.equal(await timeline.dropBelow(30), 1);
  t.same(lines, ['pruned /m/undo/0-10.seg 0 10', 'pruned /m/undo/10-20.seg 10 20']);
  t.same(unlinked, ['/m/undo/0-10.seg']);
});

t.test('also where no step is left to go', async (t) => {
  const { timeline, lines, unlinked } = played([[30, 40]], [[10, 20]], []);
  t.equal(await timeline.dropBelow(5), 0);
  t.same(lines, [], 'what is still wanted is missed');
  t.equal(await timeline.dropBelow(20), 0);
  t.equal(await timeline.dropBelow(20), 0);
  t.same(lines, ['pruned /m/undo/10-20.seg 10 20']);
  t.same(unlinked, []);
});

// Which segments go when room is needed, and who has to wait.
import t from 'tap';
import { planRoom, type RoomMachine, type RoomQuestion } from '../../../process-server/spool/room.ts';

/** Ten segments of 10 records, 100 bytes each; the newest, which is being written, is not in the list. */
const machine = (id: string, parts: Partial<RoomMachine> = {}): RoomMachine => {
  const target = parts.target ?? 0;
  return {
    id,
    segments: Array.from({ length: 9 }, (_, at) => ({ lastLsn: (at + 1) * 10, lastTime: at, bytes: 100 })),
    bytes: 1000,
    target,
    applied: 0,
    useless: target,
    room: 'ok',
    ...parts,
  };
};

const plan = (machines: RoomMachine[], more: Partial<RoomQuestion> = {}): ReturnType<typeof planRoom> =>
  planRoom({ machines, limitBytes: 10_000, freeBytes: 1e9, reserveBytes: 0, segmentBytes: 100, ...more });

t.test('with room enough nothing goes', async (t) => {
  const { drop, rooms } = plan([machine('a', { target: 100, applied: 100 })]);
  t.same(drop, []);
  t.equal(rooms.get('a'), 'ok');
});

t.test(
  'what is applied goes before what is only durable at the master target, oldest first over all',
  async (t) => {
    const durable = machine('durable', { target: 100, applied: 0 });
    const applied = machine('applied', { target: 100, applied: 20 });
    // 400 bytes of headroom, of which 100 are there: three segments.
    t.same(plan([durable, applied], { limitBytes: 2100 }).drop, [
      { id: 'applied', lsn: 20 },
      { id: 'durable', lsn: 10 },
    ]);
  },
);

t.test(
  'what the master target does not have never goes, except what nobody can be given any more',
  async (t) => {
    const short = { limitBytes: 1000 };
    t.same(plan([machine('a', { target: 25, applied: 25 })], short).drop, [{ id: 'a', lsn: 20 }]);
    t.same(plan([machine('a')], short).drop, []);
    t.same(plan([machine('a', { target: 15, useless: 35 })], short).drop, [{ id: 'a', lsn: 30 }]);
  },
);

t.test('a volume that fills up counts like a limit', async (t) => {
  const { drop } = plan([machine('a', { target: 100, applied: 100 })], { freeBytes: 600, reserveBytes: 400 });
  t.same(drop, [{ id: 'a', lsn: 30 }]);
});

t.test('who keeps more than a share waits first; full ends a little later than it begins', async (t) => {
  const machines = [
    machine('hog', { bytes: 1900 }),
    machine('modest', { bytes: 100, segments: [] }),
  ] as const;
  const rooms = (limitBytes: number, all: readonly RoomMachine[] = machines): unknown[] => [
    ...plan([...all], { limitBytes }).rooms.values(),
  ];
  t.same(rooms(2500), ['ok', 'ok']);
  t.same(rooms(2350), ['slow', 'ok']);
  t.same(rooms(2250), ['full', 'ok']);
  t.same(rooms(2150), ['full', 'slow']);
  t.same(rooms(2050), ['full', 'full']);
  t.same(rooms(2320, [machine('hog', { bytes: 1900, room: 'full' }), machines[1]]), ['full', 'ok']);
});

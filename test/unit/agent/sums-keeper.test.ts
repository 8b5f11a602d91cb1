// When the checksums of a machine's replicas are looked at: never while something else writes a replica.
import t from 'tap';
import type { FillSumsJob } from '../../../agent/replica/fill-sums.ts';
import { SumsKeeper, type Summed } from '../../../agent/sums-keeper.ts';

const lentDisks = [{ fd: -1, size: 65536, sparse: true, sums: '/derived/sums-0', blank: false }];
const journal = { source: { machine: Buffer.alloc(16) } };

async function looked(keeper: SumsKeeper, what: Pick<Summed, 'file' | 'cursor'>): Promise<FillSumsJob[]> {
  const jobs: FillSumsJob[] = [];
  const fillSums = async (job: FillSumsJob): Promise<{ next: null; lost: boolean; bytes: number }> => {
    jobs.push(job);
    return { next: null, lost: false, bytes: 0 };
  };
  await keeper.look({ ...what, journal, lentDisks }, { fillSums });
  return jobs;
}

const closed = { lsn: 0, stepTo: null };

t.test(
  'not during the first copy: a seed is laid past the sums, which would make its content damage',
  async (t) => {
    const keeper = new SumsKeeper();
    t.same(await looked(keeper, { file: { seeding: true }, cursor: closed }), []);
    t.match(await looked(keeper, { file: { seeding: false }, cursor: closed }), [{ disk: 0, lsn: 0, at: 0 }]);
  },
);

t.test('not while a step is open, or after a hand-over', async (t) => {
  const keeper = new SumsKeeper();
  const handOver = { lsn: 7, generation: 2 } as unknown as NonNullable<Summed['file']['handOver']>;
  t.same(await looked(keeper, { file: { seeding: false }, cursor: { lsn: 3, stepTo: 9 } }), []);
  t.same(await looked(keeper, { file: { seeding: false, handOver }, cursor: closed }), []);
  t.match(await looked(keeper, { file: { seeding: false }, cursor: closed }), [{ disk: 0 }]);
});

// The call that has extents sent again: what is taken, what is refused, and what is left to others.
import t from 'tap';
import type { ResyncOutcome } from '../../../../core/registration/resync-words.ts';
import { resyncCalls } from '../../../../mobility/sync/resync-calls.ts';

const outcome: ResyncOutcome = { regions: 1, bytes: 4 << 20, whole: false, state: 'begun' };
const asked: unknown[] = [];
const answer = resyncCalls(
  {
    ...{ id: 'an-id', name: 'web' },
    disks: () => [
      { name: 'root', size: 1000 },
      { name: 'data', size: 500 },
    ],
    resync: (extents) => {
      asked.push(...extents);
      return Promise.resolve(outcome);
    },
  },
  () => Promise.resolve({ status: 204, body: 'other' }),
);
const call = (body: unknown, path = '/v1/machines/web/resync', method: 'POST' | 'GET' = 'POST') =>
  answer({ id: '1', method, path, body: typeof body === 'string' ? body : JSON.stringify(body) });

t.test('extents by the names of disks', async (t) => {
  const extents = [{ disk: 'data', start: 0, end: 500 }];
  const { status, body } = await call({ extents });
  t.equal(status, 200);
  t.same(JSON.parse(body as string), { machine: 'web', extents, ...outcome });
  t.same(asked, [{ disk: 1, start: 0, end: 500 }]);
  t.equal((await call({ extents }, '/v1/machines/an-id/resync')).status, 200);
});

t.test('everything else is refused, or is no call of this kind', async (t) => {
  const one = { disk: 'root', start: 0, end: 1 };
  await t.rejects(call({ extents: [{ ...one, disk: 'none' }] }), { code: 'no-such-disk' });
  await t.rejects(call({ extents: [{ ...one, end: 1001 }] }), { code: 'usage', message: /which has 1000/ });
  await t.rejects(call({ extents: [{ ...one, start: 1 }] }), { code: 'usage' });
  await t.rejects(call({ extents: [] }), { code: 'usage' });
  await t.rejects(call({ extents: [{ ...one, more: 1 }] }), { code: 'usage' });
  await t.rejects(call('{'), { code: 'usage' });
  await t.rejects(call({ extents: [one] }, '/v1/machines/other/resync'), { code: 'no-such-machine' });
  t.equal((await call({}, '/v1/machines/web/tags')).status, 204);
  t.equal((await call({}, '/v1/machines/web/resync', 'GET')).status, 204);
});

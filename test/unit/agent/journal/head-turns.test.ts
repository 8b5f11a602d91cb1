// A read of the head while the cursor goes back: what it took from the replica may be older by then, and is
// read again.
import t from 'tap';
import { HeadReader } from '../../../../agent/ingest/head-reader.ts';
import type { BlockExtent, BlockStore } from '../../../../core/block/block-store.ts';
import { JournalDriver, writing } from '../../../fault/journal-driver.ts';
import { frozenTimers } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

/** Replicas that let something happen before they answer, once. */
function slowed(store: BlockStore, happens: { once: (() => Promise<void>) | null }): BlockStore {
  const wait = async (): Promise<void> => {
    const { once } = happens;
    happens.once = null;
    await once?.();
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'read')
        return async (buffer: Buffer, offset: number): Promise<void> => {
          await wait();
          await target.read(buffer, offset);
        };
      if (name === 'extents')
        return async (offset: number, length: number): Promise<BlockExtent[]> => {
          await wait();
          return target.extents(offset, length);
        };
      return Reflect.get(target, name) as unknown;
    },
  });
}

t.test('content that goes from the replica back to redo is never missed', async (t) => {
  const driver = new JournalDriver();
  await driver.open();
  await driver.request([writing(0, 0, Buffer.alloc(1000, 'a'))]);
  await driver.flush();
  driver.journal.roll();
  await driver.request([writing(0, 500, Buffer.alloc(1000, 'b'))]);
  await driver.flush();
  driver.journal.roll();
  await driver.apply(2);
  const happens: { once: (() => Promise<void>) | null } = { once: () => driver.apply(0) };
  const [replica] = driver.replicas;
  t.ok(replica);
  if (replica === undefined) return;
  const reader = new HeadReader(driver.journal, [slowed(replica, happens)]);
  const found = Buffer.alloc(1500);
  await reader.read(0, 0, found);
  t.same(found, Buffer.concat([Buffer.alloc(500, 'a'), Buffer.alloc(1000, 'b')]));
  await driver.apply(2);
  happens.once = () => driver.apply(0);
  t.match(await reader.extents(0, 0, 1500), [{ length: 1500 }], 'all of it is data');
});

t.test(
  'what nobody knows of a replica is an error at the head, too, until it is written again',
  async (t) => {
    const driver = new JournalDriver();
    await driver.open();
    const reader = new HeadReader(driver.journal, driver.replicas, ['root', 'home'], () => [[512, 1024]]);
    const found = Buffer.alloc(512);
    await reader.read(0, 0, found);
    await t.rejects(reader.read(0, 256, found), { code: 'damaged', message: /256 to 768 of disk root/ });
    await reader.read(1, 512, found);
    await driver.request([writing(0, 512, Buffer.alloc(512, 'a'))]);
    await reader.read(0, 512, found);
    t.same(found, Buffer.alloc(512, 'a'));
  },
);

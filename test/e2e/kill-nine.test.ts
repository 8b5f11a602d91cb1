// kill -9 at random moments, again and again: what was answered is there, in order, and nothing needs a hand.
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { MasterTarget } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

const rounds = Number(process.env['HOMEWARD_ROUNDS'] ?? 5);
const size = 16 * MiB;

t.setTimeout(120_000 + rounds * 20_000);

t.test(
  'after kill -9 every answered write is there, and every LSN shows exactly the writes up to it',
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    // Small segments, so that rounds end in all places of a segment and between two.
    const target = await MasterTarget.start(t, { SegmentBytes: '2M', SyncIntervalMs: '20ms' });
    const socket = await target.ingest('box', [`disk=${size}`]);
    const oracle = new Oracle(0, size);
    for (let round = 1; round <= rounds; round += 1) {
      const writer = await OracleWriter.connect(socket, 'disk', {
        oracle,
        random,
        window: 1 + random.below(64),
      });
      const before = oracle.changes.length;
      const killAfter = before + 1 + random.below(1500);
      const kills: Promise<void>[] = [];
      const ended = await writer.write(() => {
        if (oracle.changes.length >= killAfter) kills[0] ??= target.kill();
        return false;
      });
      await Promise.all(kills);
      t.notOk(ended, 'the writer was cut off');
      await target.restart();
      await checkRound(t, { target, oracle, writer, random, socket });
    }
  },
);

interface Round {
  target: MasterTarget;
  oracle: Oracle;
  writer: OracleWriter;
  random: Random;
  socket: string;
}

async function checkRound(t: Test, { target, oracle, writer, random, socket }: Round): Promise<void> {
  const status = await target.status('box');
  const completed = Math.max(0, ...writer.completed);
  t.equal(status.listen, `unix:${socket}`, 'the ingest was open again before it said ready');
  t.equal(status.durableLsn, status.headLsn, 'what survived is durable');
  t.ok(status.headLsn >= completed, `answered up to ${completed}, there are ${status.headLsn}`);
  t.ok(status.headLsn <= oracle.changes.length, `sent ${oracle.changes.length}, there are ${status.headLsn}`);
  t.ok(status.durableLsn >= writer.flushed, 'and what was flushed');
  oracle.forgetAfter(status.headLsn);
  const moments = ['latest', ...Array.from({ length: 3 }, () => `lsn:${random.below(status.headLsn + 1)}`)];
  for (const moment of moments) {
    const { id, lsn, socket: at } = await target.view('box', moment);
    t.same(
      oracle.compare(await readExport(at, 'disk', size), lsn),
      [],
      `${moment} is exactly the first ${lsn} writes`,
    );
    await target.closeView(id);
  }
  t.same(
    oracle.compare(await readExport(socket, 'disk', size), status.headLsn),
    [],
    'and the ingest reads the same',
  );
}

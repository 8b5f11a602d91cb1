// Bad networks between source, process server and master target: out for a moment, slow, broken again and
// again. Nothing is lost, nothing comes twice, no resync is needed.
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { reached, sameAtBothEnds } from '../support/chain-checks.ts';
import { checkWhole, startNet, statusWhen } from '../support/chain-network.ts';
import { skipUnless } from '../support/needs.ts';

t.setTimeout(400_000);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('a cable that is out for a moment breaks nothing at all', async (t) => {
  const net = await startNet(t);
  const { source, target } = net.proxy;
  await net.load.writeMore(100);
  const before = [source.connections, target.connections];
  for (const side of [source, target]) {
    side.cut();
    await net.load.writeMore(150);
    await pause(1500);
    side.mend();
  }
  await checkWhole(t, net);
  t.same([source.connections, target.connections], before, 'no connection was made anew');
});

t.test('slow networks: what waits is seen, and comes', { skip: skipUnless({ full: true }) }, async (t) => {
  for (const side of ['source', 'target'] as const) {
    await t.test(`between ${side} and process server`, async (t) => {
      const net = await startNet(t);
      // Only the process server compresses, and what an oracle writes shrinks to a tenth.
      net.proxy[side].bytesPerSecond = side === 'source' ? MiB : MiB / 16;
      const writing = net.load.writeMore(1200);
      const where = side === 'source' ? 'source' : 'processServer';
      const other = side === 'source' ? 'processServer' : 'source';
      await statusWhen(net, 'a backlog there and nowhere else', (status) => {
        const { backlog, rpoSeconds } = status;
        return backlog[where] > 0 && backlog[other] === 0 && (rpoSeconds ?? 0) > 2;
      });
      await writing;
      await checkWhole(t, net);
    });
  }
});

t.test('connections that are closed again and again', { skip: skipUnless({ full: true }) }, async (t) => {
  const net = await startNet(t);
  const { source, target } = net.proxy;
  // Never less than the largest record, which goes in one piece.
  for (const afterBytes of [1.5 * MiB, 4 * MiB, 16 * MiB]) {
    source.closeAfterBytes = afterBytes;
    target.closeAfterBytes = afterBytes / 16; // what the process server compresses is small
    await net.load.writeMore(600);
    await reached(net.site.target, 'web', 180_000);
    await sameAtBothEnds(t, net.site.target, net.source, `closed after each ${afterBytes} bytes`);
  }
  t.ok(source.connections > 8 && target.connections > 1, `${source.connections} and ${target.connections}`);
  await checkWhole(t, net);
});

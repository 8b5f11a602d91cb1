// The network is cut for a while: connections hang, what is written waits where it is, and status says where
// and how old the newest point is; then all goes on where it stopped, without a resync.
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { targetStatus } from '../support/chain-checks.ts';
import { checkWhole, startNet, statusWhen } from '../support/chain-network.ts';
import { skipUnless } from '../support/needs.ts';

t.setTimeout(400_000);
// Each waits most of the time.
t.jobs = 2;

// Longer than the silence after which a connection counts as dead.
const isFull = process.env['HOMEWARD_TEST'] === 'full';
const cutMs = isFull ? 45_000 : 6_000;
const options = { skip: skipUnless({ full: true }) };

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('the network between source and process server is cut for a while', options, async (t) => {
  const net = await startNet(t);
  await net.load.writeMore(200);
  net.proxy.source.cut();
  const cutAt = performance.now();
  await net.load.writeMore(300);
  const early = await statusWhen(net, 'the source to have a backlog', ({ backlog }) => backlog.source > MiB);
  await net.load.writeMore(300);
  await statusWhen(
    net,
    'it to grow, and the RPO with it, and nothing to wait elsewhere',
    ({ backlog, rpoSeconds }) =>
      backlog.source > early.backlog.source &&
      backlog.processServer === 0 &&
      (rpoSeconds ?? 0) > (early.rpoSeconds ?? 0) + 2,
  );
  await pause(cutMs - (performance.now() - cutAt));
  if (isFull) t.match(await net.site.status('web'), { state: 'disconnected', source: { connected: false } });
  net.proxy.source.restore();
  await statusWhen(
    net,
    'the backlog to go, and the RPO',
    ({ backlog, rpoSeconds }) => backlog.source === 0 && (rpoSeconds ?? 99) < 5,
  );
  await checkWhole(t, net);
});

t.test('the network between process server and master target is cut for a while', options, async (t) => {
  const net = await startNet(t);
  await net.load.writeMore(200);
  net.proxy.target.cut();
  const cutAt = performance.now();
  const { durableLsn } = await targetStatus(net.site.target, 'web');
  await net.load.writeMore(300);
  const early = await statusWhen(
    net,
    'the process server to have a backlog',
    ({ backlog }) => backlog.processServer > MiB,
  );
  await net.load.writeMore(300);
  await statusWhen(
    net,
    'it to grow, and the RPO with it, and nothing to wait elsewhere',
    ({ backlog, rpoSeconds }) =>
      backlog.processServer > early.backlog.processServer &&
      backlog.source === 0 &&
      (rpoSeconds ?? 0) > (early.rpoSeconds ?? 0) + 2,
  );
  const cut = await targetStatus(net.site.target, 'web');
  t.ok(cut.durableLsn - durableLsn < 200, 'what was on its way came, and nothing else');
  await pause(cutMs - (performance.now() - cutAt));
  if (isFull) t.equal((await net.site.status('web'))?.state, 'disconnected');
  net.proxy.target.restore();
  const after = await statusWhen(
    net,
    'the backlog to go, and the RPO',
    ({ backlog, rpoSeconds }) => backlog.processServer === 0 && (rpoSeconds ?? 99) < 5,
  );
  t.ok(after.backlog.target > cut.backlog.target, 'it is at the target now');
  await checkWhole(t, net);
});

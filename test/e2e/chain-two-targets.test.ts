// Two master targets that ask for one machine: only the one that it is assigned to gets it, the other hears
// why.
import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { connectControl, type MachineStatus } from '../../agent/control/client.ts';
import { ChainConnection } from '../../core/chain/chain-connection.ts';
import { openChain } from '../../core/chain/open-chain.ts';
import type { HomewardError } from '../../core/errors.ts';
import {
  openAssignmentBook,
  type Assignment,
  type SignedAssignment,
} from '../../core/identity/assignment.ts';
import { readIdentity, type HostIdentity } from '../../core/identity/host-identity.ts';
import { silentLog } from '../../core/log.ts';
import { MiB } from '../../core/units.ts';
import { Moments, reached, sameAtBothEnds, targetStatus } from '../support/chain-checks.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(240_000);

const size = 16 * MiB;

interface Two {
  site: ChainSite;
  source: Source;
  load: ChainLoad;
  /** It has the machine. */
  right: HostIdentity;
  /** It has enrolled and was approved. */
  wrong: HostIdentity;
}

async function start(t: Test): Promise<Two> {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web', '--consistency-interval', '24h');
  const second = site.daemon('the second master target', ['master-target', '--data', site.at('mt2')]);
  second.args = [...second.args, ...site.enrolment];
  const started = second.start();
  await site.approveAll(1);
  await started;
  await until('it to have enrolled', () => readIdentity(site.at('mt2')) !== null);
  const oracle = new Oracle(0, size);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 8 });
  return { site, source, load, right: identityOf(site.at('mt')), wrong: identityOf(site.at('mt2')) };
}

t.test('who is not assigned is refused, and whoever is does not notice', async (t) => {
  const { site, source, load, right, wrong } = await start(t);
  await load.writeMore(300);
  const { signed, assignment } = assignmentOf(site.at('mt'), right);
  for (let times = 0; times < 3; times += 1) {
    const refusal = await ask(wrong, signed, assignment);
    t.equal(refusal?.code, 'not-assigned');
    const expected = `machine web is assigned to master target ${right.hostId}`;
    t.ok(refusal?.message.includes(expected), 'the reason says who it is');
    t.ok(refusal?.message.includes(wrong.hostId), 'and who asked');
  }
  t.equal(site.processServer.logged('stream-refused'), 3, 'each is in the log of the process server');
  await load.writeMore(300);
  await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'the right one goes on');
  t.equal(site.masterTarget.logged('pull-connected'), 1, 'without a break');
  await load.close();
});

const options = { skip: skipUnless({ full: true }) };
t.test('a machine moves while its old master target is away, which then asks', options, async (t) => {
  const { site, source, load, wrong } = await start(t);
  await load.writeMore(300);
  const moments = new Moments(site, source);
  await moments.record('before-the-move');
  await reached(site.target, 'web');
  const other = connectControl(site.at('mt2', 'control.sock'));
  t.teardown(() => other.close());
  await site.masterTarget.kill();
  await load.writeMore(200);
  await site.server.protect({ machine: 'web', masterTarget: wrong.hostId });
  await until('the second one to have made the machine', async () =>
    (await other.status()).machines.some(({ name }) => name === 'web'),
  );
  await reached(other, 'web');
  await sameAtBothEnds(t, other, source, 'the new one has everything');
  // The old one knows nothing of the move: it has its assignment, and nobody who tells it otherwise.
  await site.configServer.kill();
  await site.masterTarget.start();
  const old = (): Promise<MachineStatus> => targetStatus(site.target, 'web');
  await until('the old one to hear why', async () => (await old()).detail?.includes('not-assigned') === true);
  t.match(await old(), { state: 'disconnected', detail: /epoch 1, but epoch 2 is known/ });
  await load.writeMore(200);
  await reached(other, 'web');
  await sameAtBothEnds(t, other, source, 'the new one goes on');
  await moments.check(t, 'what the old one has can be recovered');
  await site.configServer.start();
  await until('the old one to know', async () => (await old()).state === 'idle');
  await moments.check(t, 'still');
  await load.close();
});

function identityOf(data: string): HostIdentity {
  const identity = readIdentity(data);
  if (identity === null) throw new Error(`${readdirSync(data).join(' ')}: no identity`);
  return identity;
}

function assignmentOf(
  data: string,
  { authority }: HostIdentity,
): { assignment: Assignment; signed: SignedAssignment } {
  const book = openAssignmentBook(`${data}/assignments.json`, authority);
  const [assignment] = book.list();
  const signed = assignment === undefined ? null : book.signed(assignment.machine);
  if (assignment === undefined || signed === null) throw new Error(`${data} has no assignment`);
  return { assignment, signed };
}

/** Asks as a master target, and gives back why the stream ended. */
async function ask(
  identity: HostIdentity,
  signed: SignedAssignment,
  { processServer }: Assignment,
): Promise<HomewardError | null> {
  const { signal } = new AbortController();
  const opened = await openChain({ identity, ...processServer, signal });
  return new Promise((resolve) => {
    const connection = new ChainConnection({
      ...opened,
      log: silentLog,
      listener: {
        welcome: () => connection.close(),
        closed: resolve,
      },
    });
    const position = { durable: 0, applied: 0, generation: 0 };
    connection.sendHello({ role: 'target', version: '1', assignment: signed, compress: true, ...position });
  });
}

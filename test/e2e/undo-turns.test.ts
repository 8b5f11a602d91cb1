// Machines take turns: one that is written without end keeps the cursor and the space of no other from being
// looked after.
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { hastySettings } from '../support/history-site.ts';
import { MasterTarget, until } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(120_000);

const size = 8 * MiB;

t.test('the cursor of one machine moves while another one has many steps to do', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, { ...hastySettings, WindowHours: '1h' });
  const writerOf = async (name: string): Promise<OracleWriter> => {
    const socket = await target.ingest(name, [`disk=${size}`]);
    return OracleWriter.connect(socket, 'disk', { oracle: new Oracle(0, size), random });
  };
  // The one that is looked at first has a step for each tag.
  await writerOf('busy');
  const calm = await writerOf('calm');
  for (let n = 0; n < 400; n += 20)
    await Promise.all(Array.from({ length: 20 }, (_, more) => target.client.tag('busy', `tag-${n + more}`)));
  await until('the busy one to be on its way', async () => (await target.status('busy')).appliedLsn > 5);
  await calm.writeMore(20);
  await calm.flush();
  const { headLsn } = await target.status('calm');
  await until('the calm one to follow', async () => (await target.status('calm')).appliedLsn === headLsn);
  const busy = await target.status('busy');
  t.ok(busy.appliedLsn < busy.headLsn, `the busy one is at ${busy.appliedLsn} of ${busy.headLsn}`);
});

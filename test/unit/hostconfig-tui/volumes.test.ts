// The list of volumes on recorded hosts: what can be chosen, and why the others cannot.
import t from 'tap';
import { acceptChecks } from '../../../agent/prerequisites/accepted-checks.ts';
import { allChecks } from '../../../agent/prerequisites/all-checks.ts';
import { judgeRetention, judgeVolumes } from '../../../agent/prerequisites/judge-volumes.ts';
import { volumeRows } from '../../../hostconfig-tui/actions/volume-rows.ts';
import { recordedHosts, retentionOf } from '../../recorded-hosts/all.ts';
import { described } from '../../support/record-host.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('the volume for it can be chosen, those of the system cannot', async (t) => {
  const data = temporaryDirectory(t);
  const host = {
    ...described(recordedHosts['el9-vmware']),
    tryWrite: () => t.fail('nothing is written to be listed') as never,
  };
  const rows = volumeRows(await judgeVolumes(data, host));
  t.match(rows[0], { text: '/retention', value: '/retention', detail: /^(?:xfs|ext4), .* free of / });
  const root = rows.find(({ text }) => text === '/');
  t.match(root, { value: null, detail: /^not eligible: is no volume of its own/ });
});

t.test('one on LVM can be chosen when somebody answers for it', async (t) => {
  const data = temporaryDirectory(t);
  const name = 'el9-lvm-crypt-retention';
  const host = described(recordedHosts[name]);
  const place = retentionOf(name);
  t.match(await judgeRetention(place, data, host), { found: /LVM/, action: /--accept retention-not-lvm/ });
  const since = '2026-01-01T00:00:00Z';
  const entry = { id: 'retention-not-lvm', because: 'the only disk', since, by: 'root' };
  acceptChecks(data, allChecks, [entry]);
  t.equal(await judgeRetention(place, data, host), null);
});

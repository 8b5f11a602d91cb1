// A description, its files on a disk, and what is read back from them are one and the same host.
import t from 'tap';
import { emptyContext } from '../../../../agent/prerequisites/check.ts';
import { diskChecks } from '../../../../agent/prerequisites/disk-checks.ts';
import { runChecks } from '../../../../agent/prerequisites/run-checks.ts';
import { el8Multipath } from '../../../recorded-hosts/enterprise-linux.ts';
import { changed, described, writeRecordedHost } from '../../../support/record-host.ts';
import { recordedHost } from '../../../support/recorded-host.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const host = changed(el8Multipath, {
  commands: { 'rpm -q perl': 'perl-5.26.3\n', 'rpm -q wget': 1, 'dnf --version': '4.7.0\n' },
  links: { '/etc/alias': '/etc/../etc/os-release', '/etc/loop': 'loop' },
  facts: { names: { 'cs.example': ['192.0.2.1'] }, ports: { 'cs.example:443': null } },
});

t.test('a host written down answers as the one described', async (t) => {
  const directory = temporaryDirectory(t);
  writeRecordedHost(directory, host);
  const context = { ...emptyContext('master-target', '0.1.0', '/data'), retention: '/retention' };
  const [one, other] = [described(host), recordedHost(directory)];
  t.same(await runChecks(diskChecks, other, context), await runChecks(diskChecks, one, context));
  for (const each of [one, other]) {
    t.same(await each.run('rpm', ['-q', 'perl']), { status: 0, stdout: 'perl-5.26.3\n', stderr: '' });
    t.same(await each.run('rpm', ['-q', 'wget']), { status: 1, stdout: '', stderr: '' });
    t.match(await each.run('rpm', ['-qa']), { status: 127, stderr: 'not recorded: rpm -qa' });
    t.equal(await each.run('apt', []), null);
    t.match(each.read('/etc/alias'), /Rocky/);
    t.equal(each.realPath('/etc/alias'), '/etc/os-release');
    t.equal(each.read('/etc/loop'), null);
    t.equal(each.link('/etc/loop'), 'loop');
    t.match(each.stat('/dev/mapper/mpatha'), { kind: 'block', node: '253:0' });
    t.match(each.stat('/retention'), { kind: 'directory', device: '253:3' });
    t.same(await each.resolve('cs.example'), ['192.0.2.1']);
    t.equal(await each.tryConnect('cs.example', 443), null);
    t.equal(await each.tryConnect('cs.example', 22), 'ECONNREFUSED');
    t.match(await each.tryWrite('/nowhere'), /ENOENT/);
  }
});

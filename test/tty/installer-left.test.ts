// Somebody leaves at a question of the installer or of the uninstaller: by Ctrl-C, Ctrl-D, SIGTERM or a
// connection that drops. Whatever the question was, the host is as it was before.
import path from 'node:path';
import t, { type Test } from 'tap';
import { InstallerSite } from '../support/installer-site.ts';
import { Terminal } from '../support/terminal.ts';

const leaves = [
  { how: (terminal: Terminal) => terminal.type('\u0003'), status: 130 },
  { how: (terminal: Terminal) => terminal.kill('SIGHUP'), status: 129 },
  { how: (terminal: Terminal) => terminal.kill('SIGTERM'), status: 143 },
  { how: (terminal: Terminal) => terminal.type('\u0004'), status: 3 },
];

/** What is asked, and the answer that leads on to the next question. */
type Dialogue = readonly (readonly [question: string, answer: string])[];

interface Left {
  program?: 'install' | 'uninstall.sh';
  version?: string;
}

async function leavesNothing(
  t: Test,
  site: InstallerSite,
  dialogue: Dialogue,
  { program = 'install', version = '1.0.0' }: Left = {},
): Promise<void> {
  const before = site.snapshot();
  for (const [last, [leftAt]] of dialogue.entries()) {
    for (const { how, status } of leaves) {
      const terminal = new Terminal(t, path.join(site.package(version), program), [], { env: site.env() });
      for (const [question, answer] of dialogue.slice(0, last)) {
        await terminal.waitFor(question);
        terminal.answer(answer);
      }
      await terminal.waitFor(leftAt);
      how(terminal);
      t.same(await terminal.ended(), { status, signal: null }, `${leftAt} left with ${status}`);
    }
  }
  t.same(site.snapshot(), before);
}

t.test('a first installation that is left at any question leaves nothing behind', async (t) => {
  const site = new InstallerSite(t);
  site.checks([
    { id: 'packages', result: 'fail', severity: 'advice', fix: 'installed lsscsi' },
    { id: 'scsi-uuid', result: 'fail', severity: 'hard-unless-accepted', found: 'sdb has none' },
  ]);
  await leavesNothing(t, site, [
    ['Where do you want to install the agent (default /usr/local/ASR) :', ''],
    ['Please make your choice ? (1/2) [Default: 1]', ''],
    ['Install all the same ? (y/n) [Default: n]', 'y'],
    ['Why may they stay so ?', 'disks of the lab'],
    ['Install what is missing with the package manager ? (y/n) [Default: y]', 'y'],
  ]);
  t.notMatch(site.calls().join('\n'), '--fix', 'nor is anything installed');
});

t.test('an upgrade or a removal that is left leaves the old version as it runs', async (t) => {
  const site = new InstallerSite(t);
  t.equal((await site.install(['-r', 'MT', '--alone'])).status, 0);
  await leavesNothing(t, site, [['Go on ? (y/n) [Default: y]', 'y']], { version: '1.1.0' });
  await leavesNothing(t, site, [['Remove it ? (y/n) [Default: n]', 'y']], { program: 'uninstall.sh' });
  t.equal(site.service(), 'active 1.0.0');
});

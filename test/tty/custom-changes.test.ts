// What ApplyCustomChanges.sh asks in a real terminal: no, Ctrl-C, Ctrl-D, SIGTERM and a connection that drops
// change nothing; yes is asked for before each change, and before each is taken back.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { el8 } from '../support/custom-changes-roots.ts';
import { makeSystemRoot } from '../support/system-root.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Terminal } from '../support/terminal.ts';

const apply = /Change these \d+ files \? \(y\/n\) \[Default: n\] /;
const takeBack = 'Take this back ? (y/n) [Default: n] ';

const waysOut = [
  { how: (terminal: Terminal) => terminal.answer('n'), status: 3 },
  { how: (terminal: Terminal) => terminal.answer(''), status: 3 },
  { how: (terminal: Terminal) => terminal.type('\u0004'), status: 3 },
  { how: (terminal: Terminal) => terminal.type('\u0003'), status: 130 },
  { how: (terminal: Terminal) => terminal.kill('SIGHUP'), status: 129 },
  { how: (terminal: Terminal) => terminal.kill('SIGTERM'), status: 143 },
];

t.test('nothing is changed, and nothing taken back, unless somebody says yes', async (t) => {
  const root = path.join(temporaryDirectory(t), 'root');
  makeSystemRoot(root, el8);
  fs.mkdirSync(path.join(root, 'var/lib'), { recursive: true });
  const config = (): string => fs.readFileSync(path.join(root, 'etc/lvm/lvm.conf'), 'utf8');
  const original = config();
  const start = (t: Test, ...args: string[]): Terminal =>
    new Terminal(t, path.resolve('installer/ApplyCustomChanges.sh'), ['--root', root, ...args]);

  const leaves = async (question: string | RegExp, ...args: string[]): Promise<void> => {
    const before = config();
    for (const { how, status } of waysOut) {
      const terminal = start(t, ...args);
      await terminal.waitFor(question);
      how(terminal);
      t.same(await terminal.ended(), { status, signal: null }, `${String(question)} left with ${status}`);
      t.equal(config(), before);
    }
  };

  await leaves(apply);
  const applied = start(t);
  await applied.waitFor(apply);
  applied.answer('no\b\by');
  t.same(await applied.ended(), { status: 0, signal: null });
  t.not(config(), original);

  await leaves(takeBack, '--revert');
  const reverted = start(t, '--revert');
  await reverted.waitFor(takeBack);
  reverted.answer(' yes ');
  t.same(await reverted.ended(), { status: 0, signal: null });
  t.equal(config(), original);
});

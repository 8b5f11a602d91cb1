// The operator's script around tags: its last step runs whatever became of the first.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createLog, silentLog } from '../../../../core/log.ts';
import type { TagNote } from '../../../../core/record/notes.ts';
import { runScript } from '../../../../mobility/tags/custom-script.ts';
import { Tagger } from '../../../../mobility/tags/tagger.ts';
import { until } from '../../../support/homeward.ts';
import { root } from '../../../support/source-files.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { tagRecorder } from './tag-recorder.ts';

/** A script that writes down its steps and the language, then does `body`. */
function scriptOf(t: Test, body: string): { path: string; steps(): string[] } {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'script.sh');
  const steps = path.join(directory, 'steps');
  fs.writeFileSync(file, `#!/bin/sh\necho "$1 $LC_ALL" >> ${steps}\n${body}\n`, { mode: 0o755 });
  return {
    path: file,
    steps: () => (fs.existsSync(steps) ? fs.readFileSync(steps, 'utf8').trimEnd().split('\n') : []),
  };
}

function taggerOf(script: string, limitMs = 20_000): { tagger: Tagger; tags: TagNote[] } {
  const recorder = tagRecorder();
  const options = { recorder, refusal: () => null, script, scriptLimitMs: limitMs, log: silentLog };
  return { tagger: new Tagger(options), tags: recorder.tags };
}

const both = ['--pre C.UTF-8', '--post C.UTF-8'];

t.test('with a script that does its work the tag is application-consistent', async (t) => {
  const script = scriptOf(t, 'exit 0');
  const { tagger, tags } = taggerOf(script.path);
  t.match(await tagger.takeWithScript('noon'), { name: 'noon', consistency: 'application', lsn: 1 });
  t.same(tags, [{ name: 'noon', consistency: 'application' }]);
  t.same(script.steps(), both);
});

t.test('a script that has nothing to do leaves it crash-consistent', async (t) => {
  const script = scriptOf(t, '[ "$1" = --post ] || exit 3');
  const { tagger } = taggerOf(script.path);
  t.match(await tagger.takeWithScript('noon'), { consistency: 'crash' });
  t.same(script.steps(), both);
});

t.test('the script that is shipped has nothing to do, and does no harm', async (t) => {
  const shipped = path.join(root, 'scripts/customscript.sh');
  t.same(await runScript({ path: shipped, log: silentLog }, '--pre'), { state: 'nothing' });
  t.same(await runScript({ path: shipped, log: silentLog }, '--post'), { state: 'done' });
});

t.test('when the first step fails there is no tag, and the last step runs', async (t) => {
  const script = scriptOf(t, '[ "$1" = --post ] || exit 7');
  const { tagger, tags } = taggerOf(script.path);
  await t.rejects(tagger.takeWithScript('noon'), { code: 'script-failed', message: /status 7/ });
  t.same(tags, []);
  t.same(script.steps(), both);
});

t.test('a first step that does not end is ended, with what it started, and the last step runs', async (t) => {
  const script = scriptOf(t, '[ "$1" = --post ] || { sleep 600 & sleep 600; }');
  const { tagger } = taggerOf(script.path, 200);
  await t.rejects(tagger.takeWithScript('noon'), {
    code: 'script-failed',
    message: /did not end within 0.2 s/,
  });
  t.same(script.steps(), both);
});

t.test(
  'when the service stops during the first step, the last step runs before it has stopped',
  async (t) => {
    const script = scriptOf(t, '[ "$1" = --post ] || sleep 600');
    const { tagger, tags } = taggerOf(script.path);
    const taken = tagger.takeWithScript('noon');
    taken.catch(() => undefined);
    await until('the first step runs', () => script.steps().length > 0);
    await tagger.stop();
    t.same(script.steps(), both);
    await t.rejects(taken, { code: 'script-failed' });
    await t.rejects(tagger.takeWithScript('later'), { code: 'interrupted' });
    t.same(tags, []);
  },
);

t.test('a script that is not there fails like any other', async (t) => {
  const { tagger } = taggerOf('/nowhere/script.sh');
  await t.rejects(tagger.takeWithScript('noon'), { code: 'script-failed', message: /ENOENT/ });
});

t.test('two tags with a script take turns', async (t) => {
  const script = scriptOf(t, 'exit 0');
  const { tagger } = taggerOf(script.path);
  await Promise.all([tagger.takeWithScript('one'), tagger.takeWithScript('two')]);
  t.same(script.steps(), [...both, ...both]);
});

t.test('what a script says is in the log', async (t) => {
  const script = scriptOf(t, 'echo "at rest"; echo "but slowly" >&2');
  let lines = '';
  const log = createLog('info', (line) => {
    lines += line;
  });
  await runScript({ path: script.path, log }, '--pre');
  await until('both lines are there', () => lines.includes('"at rest"') && lines.includes('"but slowly"'));
  t.match(lines, /event=custom-script step=--pre line="at rest"/);
});

t.test(
  'a service that was killed in between ends the first step and runs the last at its next start',
  async (t) => {
    const script = scriptOf(t, '[ "$1" = --post ] || sleep 100');
    const begunFile = path.join(temporaryDirectory(t), 'script-begun');
    const recorder = tagRecorder();
    const options = { recorder, refusal: () => null, script: script.path, log: silentLog, begunFile };
    const killed = new Tagger({ ...options, scriptLimitMs: 20_000 });
    const taken = killed.takeWithScript('noon');
    taken.catch(() => undefined);
    await until('the first step', () => script.steps().length === 1);
    // What a new process finds; the old one here hears that its script was ended.
    const next = new Tagger(options);
    await t.rejects(taken, { code: 'script-failed', message: /SIGKILL/ });
    await killed.stop();
    await next.stop();
    t.same(script.steps().slice(0, 2), both);
    t.notOk(fs.existsSync(begunFile));
    new Tagger(options);
    t.same(recorder.tags, []);
  },
);

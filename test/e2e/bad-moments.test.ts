// Moments, tags, views and targets that cannot be had: the message says why, and names the window.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { connectControl } from '../../agent/control/client.ts';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { allRefused, type Expected } from '../support/refusals.ts';

const skip = skipUnless({ commands: ['qemu-io'] });

/** `web` has a tag and a window of a second; `copy` is being seeded. */
async function served(t: Test): Promise<MasterTarget> {
  const target = await MasterTarget.start(t, {
    ...{ WindowHours: '1s', SegmentBytes: '64K' },
    ...{ ReplicaLag: '1s', KeepRules: 'none' },
  });
  const socket = await target.ingest('web', ['root=16M']);
  await target.ask('tag', 'web', '--name', 'first');
  const writes = [0, 1, 2, 3].flatMap((n) => ['-c', `write -P 5 ${n}m 512k`]);
  await runOk('qemu-io', ['-f', 'raw', ...writes, '-c', 'flush', nbdUri(socket, 'root')]);
  await target.ingest('copy', ['root=16M'], '--seeding');
  return target;
}

const viewOf =
  (target: MasterTarget) =>
  (machine: string, at: string, ...more: string[]): string[] => {
    return ['view', machine, `--at=${at}`, '--listen', `unix:${target.inDirectory('v.sock')}`, ...more];
  };

t.test('moments that are none, have not come, or are not there', { skip }, async (t) => {
  const target = await served(t);
  const view = viewOf(target);
  const { durableLsn } = await target.status('web');
  const nonsense = ['now', 'yesterday', 'lsn:', 'lsn:-1', 'lsn:1.5', 'tag:', '-', '-15', '-5 lightyears'];
  const dates = ['2026-13-01T00:00:00Z', '2026-01-01'];
  const window = `which reaches from lsn:\\d+ \\(20.*Z\\) to lsn:${durableLsn} \\(20.*Z\\)$`;
  const outside = (what: string): RegExp => new RegExp(`^${what} is outside the window, ${window}`);
  await allRefused(t, target, [
    ...[...nonsense, ...dates].map((at): Expected => [view('web', at), 2, 'bad-when', /is not a moment/]),
    [view('web', ''), 2, 'usage', /at/],
    [view('web', 'lsn:9999'), 4, 'outside-window', outside('lsn:9999')],
    [view('web', '2001-01-01T00:00:00Z'), 4, 'outside-window', outside('2001-01-01T00:00:00.*Z')],
    [view('web', '-52w'), 4, 'outside-window', outside('20.*Z')],
    [view('web', '2200-01-01T00:00:00Z'), 4, 'in-future', /2200-01-01T.*Z has not come yet: it is 20/],
    [view('web', '2999-01-01T00:00:00Z'), 4, 'in-future', /2999-01-01T00:00:00Z has not come yet/],
    [view('web', 'tag:nothing'), 3, 'no-such-tag', /there is no tag "nothing"/],
    [view('web', 'latest-app'), 3, 'no-such-tag', /there is no application-consistent tag/],
    [view('nobody', 'latest'), 3, 'no-such-machine', /there is no machine "nobody"/],
    ...['latest', 'lsn:0', '-1s'].map((at): Expected => {
      return [view('copy', at), 4, 'no-points', /the first copy has not ended/];
    }),
  ]);
  await leftTheWindow(t, target);
});

t.test('tags, views and targets that cannot be', { skip }, async (t) => {
  const target = await served(t);
  const view = viewOf(target);
  const tag = (machine: string, name: string): string[] => ['tag', machine, '--name', name];
  const recover = (to: string): string[] => ['recover', 'web', '--at', 'latest', '--to', to, '--yes'];
  const file = target.inDirectory('drscout.conf');
  await allRefused(t, target, [
    [tag('copy', 'early'), 4, 'no-points', /is being seeded/],
    [tag('web', ''), 2, 'usage', /--name is empty/],
    [tag('nobody', 'x'), 3, 'no-such-machine', /there is no machine "nobody"/],
    ...['a/b', 'x'.repeat(121), 'two\nlines'].map((name): Expected => {
      return [tag('web', name), 2, 'bad-tag-name', /is not a tag name/];
    }),
    [['view', 'close', 'abcdef12'], 3, 'no-such-view', /there is no view abcdef12/],
    [['view', 'close', 'web', '--at', 'latest'], 3, 'no-such-view', /no view of web is at lsn:/],
    [view('web', 'latest', '--scratch', '1G'), 2, 'usage', /--scratch goes with --writable/],
    [view('web', 'latest', '--for', 'ever'), 2, 'bad-duration', /"ever" is not a duration/],
    [recover('floppy:a'), 2, 'bad-target', /"floppy:a" is not a target/],
    [recover(`raw:${file}`), 2, 'bad-target', /drscout\.conf is not a directory/],
    [recover('block:nodisk=/dev/null'), 3, 'no-such-disk', /web has no disk nodisk/],
    [recover('block:root=/dev/null'), 6, 'target-missing', /\/dev\/null is not a block device/],
  ]);
  fs.writeFileSync(target.inDirectory('root.raw'), 'precious');
  await allRefused(t, target, [[recover(`raw:${target.directory}`), 5, 'exists', /root\.raw exists/]]);
  t.equal(fs.readFileSync(target.inDirectory('root.raw'), 'utf8'), 'precious');
});

/** What has been applied is named as outside, with the window as it is now. */
async function leftTheWindow(t: Test, target: MasterTarget): Promise<void> {
  const client = connectControl(target.control);
  t.teardown(() => client.close());
  const socket = target.inDirectory('web.sock');
  for (let isThere = true; isThere;) {
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 6 8m 128k', '-c', 'flush', nbdUri(socket, 'root')]);
    const { window, tags } = await client.points('web');
    isThere = (window?.from.lsn ?? 0) <= 1 || tags.some(({ name }) => name === 'first');
  }
  const outside = /is outside the window, which reaches from lsn:\d+ \(20.*\) to lsn:\d+ \(20/;
  const view = viewOf(target);
  await allRefused(t, target, [
    [view('web', 'lsn:0'), 4, 'outside-window', outside],
    [view('web', 'tag:first'), 3, 'no-such-tag', /there is no tag "first"/],
  ]);
}

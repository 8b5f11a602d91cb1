// Recoveries that cannot be carried out: what exists stays as it is, and nothing half is left.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const skip = skipUnless({ commands: ['qemu-io'] });

async function used(t: Test): Promise<MasterTarget> {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('web', ['root=16M']);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 1M', '-c', 'flush', nbdUri(socket, 'root')]);
  return target;
}

const recover = (to: string): string[] => ['recover', 'web', '--at', 'latest', '--to', to];

t.test('what exists is never overwritten, and a recovery that fails leaves nothing', { skip }, async (t) => {
  const target = await used(t);
  const directory = target.inDirectory('out');
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'root.raw'), 'precious');
  t.match(await target.refused(...recover(`raw:${directory}`)), {
    status: 5,
    code: 'exists',
    message: `${directory}/root.raw exists`,
  });
  t.equal(fs.readFileSync(path.join(directory, 'root.raw'), 'utf8'), 'precious');
  await withoutTools(t, target);
  for (const format of ['qcow2', 'vmdk']) await target.ask(...recover(`${format}:${directory}`));
  const names = ['root.qcow2', 'root.raw', 'root.vmdk'];
  t.same(fs.readdirSync(directory).toSorted(), names, 'no tool is needed, and nothing else is left');
  t.same(await target.ask('views'), { views: [] });
});

t.test(
  "a target that cannot be made or written to is the user's news, not our fault",
  { skip },
  async (t) => {
    const target = await used(t);
    const file = target.inDirectory('file');
    fs.writeFileSync(file, '');
    const loop = target.inDirectory('loop');
    fs.symlinkSync(loop, loop);
    const cases: [string, number, string, RegExp][] = [
      ['/proc/nope', 2, 'bad-target', /^\/proc\/nope cannot be made$/],
      [target.inDirectory('n'.repeat(300)), 2, 'bad-target', /is too long a name$/],
      [target.inDirectory('long', 'n'.repeat(300), 'below'), 2, 'bad-target', /is too long a name$/],
      [loop, 2, 'bad-target', /leads through symbolic links without end$/],
      [file, 2, 'bad-target', /file is not a directory$/],
      [path.join(file, 'below'), 2, 'bad-target', /is not a directory$/],
      ['/sys/kernel', 6, 'not-writable', /^\/sys\/kernel (may not be written to|is on a read-only volume)/],
    ];
    for (const [directory, status, code, message] of cases) {
      for (const format of ['raw', 'qcow2'])
        t.match(
          await target.refused(...recover(`${format}:${directory}`)),
          { status, code, message },
          directory,
        );
    }
    t.notMatch(target.log, /stack=/, 'no stack for the user to read');

    const directory = target.inDirectory('out');
    fs.mkdirSync(directory);
    fs.symlinkSync(target.inDirectory('nowhere'), path.join(directory, 'root.raw'));
    const begun = target.logged('recovery-begins');
    t.match(await target.refused(...recover(`raw:${directory}`)), {
      status: 5,
      code: 'exists',
      message: `${directory}/root.raw exists`,
    });
    t.equal(
      target.logged('recovery-begins'),
      begun,
      'a link that leads nowhere is found before copying begins',
    );
    t.notOk(fs.existsSync(target.inDirectory('nowhere')));
  },
);

/** Starts the daemon again with nothing on its PATH but what its start needs, and this `qemu-img`. */
async function withoutTools(t: Test, target: MasterTarget): Promise<void> {
  const tools = temporaryDirectory(t);
  for (const name of ['sh', 'dirname', 'readlink', 'uname']) {
    fs.symlinkSync(execFileSync('which', [name], { encoding: 'utf8' }).trim(), path.join(tools, name));
  }
  const before = process.env['PATH'];
  await target.stop();
  process.env['PATH'] = tools;
  try {
    await target.restart();
  } finally {
    process.env['PATH'] = before;
  }
}

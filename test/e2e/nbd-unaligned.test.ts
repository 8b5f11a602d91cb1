// Writes that begin and end inside sectors: every client that copies by block status has to find all of them.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { KiB, MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const skip = skipUnless({ commands: ['qemu-io', 'qemu-img', 'nbdcopy'] });
const size = 64 * MiB;

interface Write {
  fill: number;
  at: number;
  length: number;
}

/** Small writes far apart, at the edges of blocks and of the first window too. */
function makeWrites(seed: number): Write[] {
  const random = seededRandom(seed);
  const places = [4396, 1 * MiB - 50, 2 * MiB + 4095, 5 * MiB + 511, size - 1];
  for (let at = 8 * MiB; at < 60 * MiB; at += 256 * KiB) places.push(at + random.below(200 * KiB));
  return places.map((at, i) => ({
    fill: 1 + (i % 255),
    at,
    length: at === size - 1 ? 1 : 1 + random.below(random.chance(0.7) ? 700 : 20 * KiB),
  }));
}

t.test('unaligned writes are in every copy that clients make of a disk', { skip }, async (t) => {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('web', [`root=${size}`]);
  const expected = Buffer.alloc(size);
  const commands: string[] = [];
  for (const { fill, at, length } of makeWrites(chooseSeed(t))) {
    expected.fill(fill, at, at + length);
    commands.push('-c', `write -P ${fill} ${at} ${length}`);
  }
  await runOk('qemu-io', ['-f', 'raw', ...commands, '-c', 'flush', nbdUri(socket, 'root')]);

  const view = await target.view('web', 'latest');
  const recovered = target.inDirectory('recovered');
  await target.ask('recover', 'web', '--at', 'latest', '--to', `raw:${recovered}`);
  t.ok(readFileSync(`${recovered}/root.raw`).equals(expected), 'the raw recovery is what was written');

  const copy = target.inDirectory('copy');
  const sameAs = (what: string): void => {
    t.ok(readFileSync(copy).equals(expected), what);
  };
  for (const [name, uri] of [
    ['a view', nbdUri(view.socket, 'root')],
    ['the ingest export', nbdUri(socket, 'root')],
  ] as const) {
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, copy]);
    sameAs(`${name}, by qemu-img as raw`);
    const qcow2 = target.inDirectory('copy.qcow2');
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, qcow2]);
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', qcow2, copy]);
    sameAs(`${name}, by qemu-img as qcow2`);
    await runOk('nbdcopy', [uri, copy]);
    sameAs(`${name}, by nbdcopy`);
  }
  const qcow2s = target.inDirectory('qcow2');
  await target.ask('recover', 'web', '--at', 'latest', '--to', `qcow2:${qcow2s}`);
  await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', `${qcow2s}/root.qcow2`, copy]);
  sameAs('the qcow2 recovery');
});

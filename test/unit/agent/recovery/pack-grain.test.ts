// How grains of VMDK are packed: by what they hold, and always so that the same comes out.
import { gzipSync, inflateSync } from 'node:zlib';
import fs from 'node:fs';
import t from 'tap';
import { vmdkGrainBytes } from '../../../../core/formats/vmdk.ts';
import { packGrain, packingOf } from '../../../../agent/recovery/formats/pack-grain.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const source = fs.readFileSync(new URL('../../../../core/error-table.ts', import.meta.url));
const text = Buffer.alloc(vmdkGrainBytes, source);

t.test('noise is stored, noise with runs and all else is packed, and comes out as it was', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const noise = random.bytes(vmdkGrainBytes);
  const halves = Buffer.from(noise);
  for (let at = 0; at < halves.length; at += 512) halves.fill(0, at + 256, at + 512);
  const late = Buffer.from(noise);
  for (let at = 0; at < late.length; at += 4096) late.fill(0, at + 2048, at + 4096);
  const mixed = Buffer.from(noise);
  for (let at = 0; at < mixed.length; at += 8192) text.copy(mixed, at, at, at + 4096);
  const packed = gzipSync(random.bytes(2 * vmdkGrainBytes).map((byte) => byte & 0x3f));
  const few = Buffer.alloc(vmdkGrainBytes);
  noise.copy(few, 4096, 0, 700);
  const grains = {
    noise: { grain: noise, packing: 'stored', most: 1.001 },
    'compressed content': { grain: packed.subarray(0, vmdkGrainBytes), packing: 'stored', most: 1.001 },
    'noise in halves of sectors': { grain: halves, packing: 'runs', most: 0.55 },
    'noise in halves of blocks': { grain: late, packing: 'runs', most: 0.55 },
    text: { grain: text, packing: 'matches', most: 0.3 },
    'text among noise': { grain: mixed, packing: 'matches', most: 0.8 },
    'a little noise': { grain: few, packing: 'matches', most: 0.05 },
    zeros: { grain: Buffer.alloc(vmdkGrainBytes), packing: 'matches', most: 0.01 },
  };
  for (const [name, { grain, packing, most }] of Object.entries(grains)) {
    t.equal(packingOf(grain), packing, `${name}: ${packing}`);
    const stream = packGrain(grain);
    t.ok(stream.length <= most * vmdkGrainBytes, `${name} takes ${stream.length} bytes`);
    t.ok(inflateSync(stream).equals(grain), `${name} comes out as it was`);
  }
});

// The bytes of a streamOptimized VMDK file's own parts, after VMware's "Virtual Disk Format 5.0".
import t from 'tap';
import {
  encodeVmdkBegin,
  encodeVmdkEnd,
  encodeVmdkGrain,
  encodeVmdkTable,
  parseVmdkGrain,
  vmdkGrainSectors,
} from '../../../../core/formats/vmdk.ts';
import { GiB } from '../../../../core/units.ts';

const header = (directorySector: string): string =>
  '4b444d56' +
  '03000000' +
  '01000300' +
  '0000200000000000' +
  '8000000000000000' +
  '0100000000000000' +
  '1400000000000000' +
  '00020000' +
  '0000000000000000' +
  directorySector +
  '8000000000000000' +
  '00' +
  '0a200d0a' +
  '0100';

t.test('the header says that the directory is at the end; the descriptor follows it', async (t) => {
  const begin = encodeVmdkBegin(GiB, 'root.vmdk', 0xabc);
  t.equal(begin.length, 128 * 512);
  t.equal(begin.toString('hex', 0, 79), header('ffffffffffffffff'));
  const text = begin.toString('latin1', 512, 512 * 21).replace(/\0+$/, '');
  t.match(text, /^# Disk DescriptorFile\nversion=1\nCID=00000abc\nparentCID=ffffffff\n/);
  t.match(text, /\ncreateType="streamOptimized"\n/);
  t.match(text, /\nRDONLY 2097152 SPARSE "root\.vmdk"\n/);
  t.ok(begin.subarray(512 + text.length).every((byte) => byte === 0));
});

t.test('a grain has its sector and its length before it, and fills whole sectors', async (t) => {
  t.same([500, 501, 1012].map(vmdkGrainSectors), [1, 2, 2]);
  const target = Buffer.alloc(2048, 0xee);
  t.equal(encodeVmdkGrain(target, 65_536 * 3, Buffer.alloc(501, 0x11)), 2);
  t.equal(target.toString('hex', 0, 14), '8001000000000000' + 'f5010000' + '1111');
  t.equal(target.toString('hex', 512, 514), '1100');
  t.ok(
    target.subarray(514, 1024).every((byte) => byte === 0),
    'what was there before is gone',
  );
  t.equal(target[1024], 0xee);
  t.same(parseVmdkGrain(target), { diskOffset: 65_536 * 3, bytes: 501, from: 12 });
});

t.test('a grain table follows a marker', async (t) => {
  const sectors = new Uint32Array(512);
  sectors[1] = 0x12345678;
  const table = encodeVmdkTable(sectors);
  t.equal(table.length, 512 + 2048);
  t.equal(table.toString('hex', 0, 16), '0400000000000000' + '00000000' + '01000000');
  t.equal(table.toString('hex', 512, 520), '00000000' + '78563412');
});

t.test('directory, footer and the end of the stream close the file', async (t) => {
  const { bytes, directorySector } = encodeVmdkEnd(GiB, Uint32Array.of(0, 300, 0), 1000);
  t.equal(directorySector, 1001);
  t.equal(bytes.length, (2 + 2 + 1) * 512);
  t.equal(bytes.toString('hex', 0, 16), '0100000000000000' + '00000000' + '02000000');
  t.equal(bytes.toString('hex', 512, 524), '00000000' + '2c010000' + '00000000');
  t.equal(bytes.toString('hex', 1024, 1040), '0100000000000000' + '00000000' + '03000000');
  t.equal(bytes.toString('hex', 1536, 1536 + 79), header('e903000000000000'));
  t.ok(bytes.subarray(2048).every((byte) => byte === 0));
});

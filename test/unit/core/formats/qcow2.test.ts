// The bytes of a qcow2 file's own parts, after docs/interop/qcow2.txt of QEMU.
import t from 'tap';
import {
  encodeQcow2Entries,
  encodeQcow2Header,
  encodeQcow2L1,
  encodeQcow2RefcountBlock,
  encodeQcow2RefcountTable,
  parseQcow2Entries,
  qcow2EntryPosition,
  qcow2Layout,
  qcow2Refcounts,
} from '../../../../core/formats/qcow2.ts';
import { GiB, TiB } from '../../../../core/units.ts';

t.test('header, L1, a place for each L2 table, then data', async (t) => {
  t.same(qcow2Layout(GiB), { size: GiB, tables: 2, l1Cluster: 1, tablesCluster: 2, dataCluster: 4 });
  t.match(qcow2Layout(512), { tables: 1, dataCluster: 3 });
  const largest = qcow2Layout(64 * TiB);
  t.match(largest, { tables: 131_072, tablesCluster: 17, dataCluster: 17 + 131_072 });
  t.equal(qcow2EntryPosition(largest, 8193), 17 * 65_536 + 8193 * 8);
});

t.test('the header is that of version 3', async (t) => {
  const header = encodeQcow2Header(qcow2Layout(GiB), qcow2Refcounts(20));
  t.equal(
    header.toString('hex', 0, 112),
    '514649fb' +
      '00000003' +
      '0000000000000000' +
      '00000000' +
      '00000010' +
      '0000000040000000' +
      '00000000' +
      '00000002' +
      '0000000000010000' +
      '0000000000150000' +
      '00000001' +
      '00000000' +
      '0000000000000000'.repeat(4) +
      '00000004' +
      '00000068' +
      '0000000000000000',
  );
  t.ok(header.subarray(112).every((byte) => byte === 0));
});

t.test('entries say where clusters are, and that each has one reference', async (t) => {
  const clusters = Float64Array.of(0, 5, 2 ** 36);
  const entries = encodeQcow2Entries(clusters);
  t.equal(entries.toString('hex'), '0000000000000000' + '8000000000050000' + '8010000000000000');
  t.same(parseQcow2Entries(entries), clusters);
  const l1 = encodeQcow2L1(qcow2Layout(GiB), (table) => table === 1);
  t.equal(l1.toString('hex', 0, 16), '0000000000000000' + '8000000000030000');
  t.equal(l1.length, 65_536);
});

t.test('refcounts count themselves, also where that needs one more block', async (t) => {
  t.same(qcow2Refcounts(20), { blocksCluster: 20, blocks: 1, tableCluster: 21, tableClusters: 1, end: 22 });
  t.match(qcow2Refcounts(32_766), { blocks: 1, end: 32_768 });
  t.match(qcow2Refcounts(32_767), { blocks: 2, end: 32_770 });
  const table = encodeQcow2RefcountTable(qcow2Refcounts(32_767));
  t.equal(table.toString('hex', 0, 24), '000000007fff0000' + '0000000080000000' + '0000000000000000');
  const block = encodeQcow2RefcountBlock(1, [
    [0, 3],
    [32_767, 32_770],
    [65_536, 65_540],
  ]);
  t.equal(block.toString('hex', 0, 6), '000100010000');
  t.ok(block.subarray(6).every((byte) => byte === 0));
});

// Tables as bytes: what is damaged is not there.
import t from 'tap';
import fc from 'fast-check';
import { buildTable } from '../../../../core/extents/build.ts';
import { ExtentTable } from '../../../../core/extents/extent-table.ts';
import { encodeTable, tryDecodeTable } from '../../../../core/extents/table-file.ts';
import { wholeMachine } from '../../../../core/extents/address.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import { anyWrite, blocks, holds, listOf, places, same, type Write } from '../../../support/extent-model.ts';

const meta = { segment: '00000000000000000042.seg', lastLsn: 2 ** 52 + 1, who: 'größe' };

t.test('a table comes back as it was, with its meta', async (t) => {
  const anyPlace = fc.constantFrom(...Object.values(places));
  await holds(
    t,
    fc.property(fc.array(anyWrite), anyPlace, (writes, place) => {
      const table = buildTable(listOf(writes, place, 2 ** 32 - 1));
      const decoded = tryDecodeTable(encodeTable(table, meta));
      same(decoded?.meta, meta);
      same([...(decoded?.table.extents() ?? [])], [...table.extents()]);
    }),
    100,
  );
});

t.test('an empty table and an extent of everything come back', async (t) => {
  t.equal(tryDecodeTable(encodeTable(ExtentTable.empty, {}))?.table.count, 0);
  const list = new ExtentList();
  list.push(wholeMachine.start, wholeMachine.end, 0, 2 ** 32 - 1, 2 ** 32 - 1, 3);
  const [everything] = tryDecodeTable(encodeTable(buildTable(list), {}), 9)?.table.extents() ?? [];
  t.strictSame(everything, {
    start: 0,
    end: wholeMachine.end,
    segment: 9,
    position: 2 ** 32 - 1,
    lsnDelta: 2 ** 32 - 1,
    kind: 3,
  });
});

t.test('every flipped bit, every cut and every added byte is found', async (t) => {
  const writes: Write[] = [
    { from: 1, to: 9, kind: 1 },
    { from: 3, to: 5, kind: 2 },
  ];
  const table = buildTable(listOf(writes, blocks));
  const bytes = encodeTable(table, meta);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(bit >>> 3) ^ (1 << (bit % 8)), bit >>> 3);
    t.equal(tryDecodeTable(damaged), null, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    t.equal(tryDecodeTable(bytes.subarray(0, length)), null, `cut at ${length}`);
  }
  t.equal(tryDecodeTable(Buffer.concat([bytes, Buffer.alloc(1)])), null);
});

t.test('a table that was written unsorted is not taken, though its checksum is right', async (t) => {
  const list = new ExtentList(2);
  list.push(1024, 2048, 0, 0, 0, 1);
  list.push(0, 512, 0, 1, 1, 1);
  t.equal(tryDecodeTable(encodeTable(ExtentTable.copyOf(list.columns, 2), {})), null);
});

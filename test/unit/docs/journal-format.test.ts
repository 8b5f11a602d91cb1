// The worked example of docs/journal-format.md, decoded by the code and compared with what the page says
// about it.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { crc32 } from 'node:zlib';
import { decodeTagNote } from '../../../core/record/notes.ts';
import { payloadFits } from '../../../core/record/payload.ts';
import {
  encodeRecordHeader,
  machineMark,
  recordHeaderBytes,
  type RecordHeader,
} from '../../../core/record/record.ts';
import { listFrames } from '../../../core/segment-log/frames.ts';
import { decodeGroupHeader, encodeGroupHeader, groupHeaderBytes } from '../../../core/segment-log/group.ts';
import { dataBytesOf, scanSegment, type Lost } from '../../../core/segment-log/scan.ts';
import { root } from '../../support/source-files.ts';

const page = fs.readFileSync(path.join(root, 'docs/journal-format.md'), 'utf8');

/** The bytes of the dump; its text column is checked on the way. */
function parseDump(text: string): Buffer {
  const rows = [...text.matchAll(/^ {4}([0-9a-f]{4}) {2}((?:[0-9a-f]{2} ?)+) +(\S.*)$/gm)];
  const parts = rows.map(([, at = '', hex = '', shown = '']) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    const readable = bytes.toString('latin1').replace(/[^ -~]/g, '.');
    t.equal(shown, readable.trim(), `the text of row ${at}`);
    return { at: parseInt(at, 16), bytes };
  });
  for (const [index, { at }] of parts.entries()) t.equal(at, index * 16, 'rows follow each other');
  return Buffer.concat(parts.map(({ bytes }) => bytes));
}

interface Row {
  at: number;
  size: number;
  of: string;
  field: string;
  value: string;
}

function parseTable(text: string): Row[] {
  const rows = text.matchAll(/^\| ([0-9a-f]{4}) \| (\d+) \| (frame|record \d+) \| ([\w ]+) \| (.+) \|$/gm);
  return [...rows].map(([, at = '', size = '', of = '', field = '', value = '']) => ({
    at: parseInt(at, 16),
    size: Number(size),
    of,
    field,
    value,
  }));
}

const dump = parseDump(page);
const table = parseTable(page);

/** What stands at `at` in the dump, spelled as the page spells it. */
function spell(at: number, size: number, asBytes: boolean): string {
  const bytes = dump.subarray(at, at + size);
  if (asBytes) return `\`${bytes.toString('hex')}\``;
  return String(size === 8 ? bytes.readBigUInt64LE(0) : bytes.readUIntLE(0, size));
}

t.test('every value stands where the page says', async (t) => {
  t.ok(table.length > 30);
  for (const { at, size, of, field, value } of table)
    t.equal(spell(at, size, value.startsWith('`')), value, `${of}: ${field}`);
});

t.test('the code reads the same values out of it', async (t) => {
  const frame = decodeGroupHeader(dump, 0);
  if (frame === null) return void t.fail('no frame');
  const machine = Buffer.from('6f1d2c3b4a59487786a5b4c3d2e1f001', 'hex');
  t.same(frame.machine, machine);
  const headers: RecordHeader[] = [];
  const payloads: Buffer[] = [];
  const lost: Lost[] = [];
  const result = scanSegment({
    content: dump,
    frames: listFrames(dump, machine, 5),
    machine: machineMark(machine),
    firstLsn: 5,
    cutLsn: Infinity,
    durable: 0,
    visitor: {
      record(header, position, content) {
        const start = position + recordHeaderBytes;
        const payload = content.subarray(start, start + header.payloadBytes);
        t.ok(payloadFits(payload, header.payloadCrc, dataBytesOf(header)), `payload of ${header.lsn}`);
        headers.push(header);
        payloads.push(payload);
      },
      lost: (range) => lost.push(range),
    },
  });
  t.match(result, { nextLsn: 8, end: dump.length, cut: false });
  t.same(lost, []);
  t.same(
    headers.map(({ lsn }) => lsn),
    [5, 6, 7],
  );
  t.equal(payloads[0]?.toString(), 'hello, homeward!');
  t.same(decodeTagNote(payloads[2] ?? Buffer.alloc(0)), { name: 'before-upgrade', consistency: 'user' });
  t.ok(page.includes(`\`${payloads[2]?.toString()}\``), 'the page spells the tag');
  for (const { of, field, value } of table) {
    const decoded = of === 'frame' ? frame : headers.find(({ lsn }) => of === `record ${lsn}`);
    const known = (decoded as unknown as Record<string, number | Buffer>)[names[field] ?? ''];
    if (known === undefined) continue;
    t.equal(
      Buffer.isBuffer(known) ? `\`${known.toString('hex')}\`` : String(known),
      value,
      `${of}: ${field}`,
    );
  }
});

const names: Record<string, string> = {
  machine: 'machine',
  identity: 'identity',
  'first LSN': 'firstLsn',
  'previous durable LSN': 'previousDurable',
  arrival: 'arrival',
  position: 'position',
  records: 'records',
  'body bytes': 'bodyBytes',
  'headers CRC': 'headersCrc',
  'skipped from': 'skippedFrom',
  kind: 'kind',
  flags: 'flags',
  disk: 'disk',
  LSN: 'lsn',
  offset: 'offset',
  length: 'length',
  time: 'time',
  generation: 'generation',
  'payload bytes': 'payloadBytes',
  'payload CRC': 'payloadCrc',
};

t.test('the code writes the same bytes', async (t) => {
  const frame = decodeGroupHeader(dump, 0);
  if (frame === null) return void t.fail('no frame');
  const written = Buffer.from(dump);
  written.fill(0, 0, groupHeaderBytes);
  encodeGroupHeader(written, frame);
  const mark = machineMark(frame.machine);
  const headers: Buffer[] = [];
  scanSegment({
    content: dump,
    frames: listFrames(dump, frame.machine, 5),
    machine: mark,
    firstLsn: 5,
    cutLsn: Infinity,
    durable: 0,
    visitor: {
      record(header, position) {
        written.fill(0, position, position + recordHeaderBytes);
        encodeRecordHeader(written, position, header, mark);
        headers.push(written.subarray(position, position + recordHeaderBytes));
      },
      lost: () => undefined,
    },
  });
  t.same(written, dump);
  t.equal(headers.length, 3);
  t.equal(crc32(Buffer.concat(headers)), frame.headersCrc);
});

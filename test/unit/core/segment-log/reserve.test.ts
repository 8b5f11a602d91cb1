// Checks that new segments leave the reserve free, that recycled ones do not need to, and that foreign files
// are refused.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { SegmentFiles } from '../../../../core/segment-log/segment-files.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

const KiB = 1024;
const machine = randomBytes(16);

function make(reserveBytes: number): { files: SimulatedFiles; segmentFiles: SegmentFiles } {
  const files = new SimulatedFiles({ directories: ['/redo'], capacityBytes: 1024 * KiB });
  return {
    files,
    segmentFiles: new SegmentFiles({
      files,
      directory: '/redo',
      machine,
      segmentBytes: 256 * KiB,
      reserveBytes,
    }),
  };
}

t.test(
  'further files stop at the reserve, those that are there are written over, and healing may go into it',
  async (t) => {
    const { files, segmentFiles } = make(300 * KiB);
    const first = segmentFiles.take(1, 1);
    segmentFiles.take(2, 1);
    t.equal(files.freeBytes('/redo'), 512 * KiB);
    t.throws(() => segmentFiles.take(3, 1), { code: 'ENOSPC' });
    t.throws(() => segmentFiles.take(3, 400 * KiB), { code: 'ENOSPC' }, 'a large record neither');
    t.throws(() => segmentFiles.ensureSpare(), { code: 'ENOSPC' });
    t.equal(files.freeBytes('/redo'), 512 * KiB, 'nothing is left of the attempts');
    segmentFiles.dispose(first, 2);
    t.match(segmentFiles.take(3, 1), { firstLsn: 3 }, 'a recycled file takes no space');
    const notes = { isNotes: true };
    t.match(segmentFiles.take(4, 1, { intoReserve: true }), { firstLsn: 4 });
    t.match(segmentFiles.take(5, 1, notes), { firstLsn: 5, bytes: 64 * KiB }, 'notes take little of it');
    t.match(segmentFiles.take(6, 100 * KiB, notes), { firstLsn: 6, bytes: 100 * KiB }, 'or what they need');
  },
);

t.test('without a reserve only the end of the volume ends it', async (t) => {
  const { segmentFiles } = make(0);
  for (let lsn = 1; lsn <= 4; lsn++) segmentFiles.take(lsn, 1);
  t.throws(() => segmentFiles.take(5, 1), { code: 'ENOSPC' });
});

t.test('a file that begins with the frame of another machine is not adopted', async (t) => {
  const { files, segmentFiles } = make(0);
  for (const [name, owner] of [
    ['/redo/ours', machine],
    ['/redo/alien', Buffer.alloc(16, 0xab)],
  ] as const) {
    const frame = Buffer.alloc(groupHeaderBytes);
    encodeGroupHeader(frame, {
      machine: owner,
      identity: randomBytes(16),
      firstLsn: 1,
      previousDurable: 0,
      arrival: 1,
      position: 0,
      records: 0,
      bodyBytes: 0,
      headersCrc: 0,
      skippedFrom: 0,
    });
    files.write(files.create(name), [frame], 0);
  }
  t.match(segmentFiles.adopt('/redo/ours', 1), { firstLsn: 1 });
  t.throws(() => segmentFiles.adopt('/redo/alien', 1), {
    code: 'foreign-segment',
    message: '/redo/alien holds records of another machine, abababab-abab-abab-abab-abababababab',
  });
});

// Bytes above an LSN, with marks and between them.
import t from 'tap';
import { ByteMarks } from '../../../process-server/spool/byte-marks.ts';

t.test('bytes above an LSN are exact at marks and reckoned between them', async (t) => {
  const marks = new ByteMarks(100);
  t.equal(marks.above(0), 0);
  for (let lsn = 1; lsn <= 100; lsn++) marks.add(lsn, 10);
  t.equal(marks.above(0), 1000);
  t.equal(marks.above(100), 0);
  t.equal(marks.above(200), 0);
  for (const lsn of [10, 15, 73]) t.equal(marks.above(lsn), (100 - lsn) * 10);
});

t.test('what is forgotten from below changes nothing above', async (t) => {
  const marks = new ByteMarks(100);
  for (let lsn = 1; lsn <= 100; lsn++) marks.add(lsn, 10);
  marks.forget(55);
  t.equal(marks.above(60), 400);
  t.equal(marks.above(55), 450);
  t.equal(marks.above(0), 500, 'below, what is known');
});

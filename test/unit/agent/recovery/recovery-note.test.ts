// The note of a recovery that was interrupted: what counts of it, and what it makes of an image.
import t from 'tap';
import { planImage } from '../../../../agent/recovery/formats/image-plan.ts';
import {
  formatNoteLine,
  isSameRecovery,
  parseNote,
  type NoteContent,
} from '../../../../agent/recovery/recovery-note.ts';
import { MiB } from '../../../../core/units.ts';

const identity = { machine: 'id', lsn: 7, disk: 'root', size: 100 * MiB, format: 'qcow2' };
const lines = [
  formatNoteLine({ homeward: 'recovery 1', identity, file: '.root.qcow2.x.partial' }),
  formatNoteLine({ inode: '42' }),
  formatNoteLine({ done: [[1, 3, 9], [0]], damaged: [[512, 1024]] }),
  formatNoteLine({ done: [[3, 12, 14, 20, 21]], damaged: [] }),
];
const whole = Buffer.from(lines.join(''));

function parsed(bytes: Buffer): NoteContent {
  const content = parseNote(bytes);
  if (content === null || content === 'empty') throw new Error('a note was expected');
  return content;
}

t.test('a note says whose it is and what is done', async (t) => {
  t.same(parsed(whole), {
    identity,
    file: '.root.qcow2.x.partial',
    inode: '42',
    done: new Map([
      [1, [3, 9]],
      [0, []],
      [3, [12, 14, 20, 21]],
    ]),
    damaged: [[512, 1024]],
    end: whole.length,
  });
});

t.test('cut anywhere or with a flipped bit, it says nothing that was not written whole', async (t) => {
  const first = lines[0]?.length ?? 0;
  for (let length = 0; length < whole.length; length++) {
    const content = parseNote(whole.subarray(0, length));
    if (length === 0) t.equal(content, 'empty');
    else if (length < first) t.equal(content, null);
    else {
      const { end, done } = parsed(whole.subarray(0, length));
      t.ok(end <= length && whole[end - 1] === 10);
      t.ok(done.size === 0 || done.size === 2, 'the last line is not there');
    }
  }
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = Buffer.from(whole);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const content = parseNote(bytes);
    if (content === null || content === 'empty') continue;
    t.ok(content.end <= bit >> 3, `bit ${bit}`);
    t.same(content.identity, identity);
  }
});

t.test('what is no note is not taken for one', async (t) => {
  for (const text of ['precious', '{}\n', '00000000 {"homeward":"recovery 1"}\n', lines[2] ?? ''])
    t.equal(parseNote(Buffer.from(text)), null, text);
});

t.test('a recovery is the same when everything about it is', async (t) => {
  t.ok(isSameRecovery(identity, { ...identity }));
  for (const other of [{ machine: 'x' }, { lsn: 8 }, { disk: 'x' }, { size: 512 }, { format: 'raw' }])
    t.notOk(isSameRecovery(identity, { ...identity, ...other }), JSON.stringify(other));
});

t.test('raw and qcow2 write what is missing, VMDK all behind the first gap', async (t) => {
  const { done } = parsed(whole);
  t.same(planImage('raw', 160 * MiB, new Map([[1, []]])).todo, [0, 2, 3, 4]);
  const qcow2 = planImage('qcow2', 160 * MiB, done);
  t.same(qcow2.todo, [2, 4]);
  t.same(qcow2.free, { cluster: 21 }, 'behind the last that counts');
  t.same(planImage('qcow2', 160 * MiB, new Map()).free, { cluster: 3 });
  const vmdk = planImage(
    'vmdk',
    160 * MiB,
    new Map([
      [0, [128, 300]],
      [1, [300, 300]],
      [3, [400, 500]],
    ]),
  );
  t.same([vmdk.todo, [...vmdk.kept.keys()], vmdk.free], [[2, 3, 4], [0, 1], { sector: 300 }]);
});

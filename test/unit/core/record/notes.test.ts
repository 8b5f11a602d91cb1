// The JSON payloads of tags and syncs: what is written is read, and what cannot be read is no tag.
import t from 'tap';
import { decodeSyncBegin, decodeTagNote, encodeNote } from '../../../../core/record/notes.ts';
import { limits } from '../../../../core/limits.ts';

t.test('a tag comes back as it went', async (t) => {
  for (const consistency of ['crash', 'application', 'user'] as const) {
    const note = { name: 'vor dem Umzug – “äöü”', consistency };
    t.same(decodeTagNote(encodeNote(note)), note);
  }
});

t.test("members that are not known are ignored, a consistency that is not known is the user's", async (t) => {
  t.same(decodeTagNote(Buffer.from('{"name":"a","consistency":"new","more":1}')), {
    name: 'a',
    consistency: 'user',
  });
});

t.test('what is no tag is none', async (t) => {
  for (const text of ['', '{', 'null', '[]', '7', '{}', '{"name":7}'])
    t.equal(decodeTagNote(Buffer.from(text)), null, text);
});

t.test('a sync-begin comes back as it went, and what cannot be read of it is nothing', async (t) => {
  const disks = [{ name: 'root', size: 512 }];
  const read = (text: string): unknown => decodeSyncBegin(Buffer.from(text));
  t.same(
    decodeSyncBegin(encodeNote({ reason: 'overflow', disks, checksums: true, full: true, part: true })),
    {
      reason: 'overflow',
      disks,
      checksums: true,
      full: true,
      part: true,
    },
  );
  t.same(decodeSyncBegin(encodeNote({ reason: 'overflow', disks })), {
    reason: 'overflow',
    disks,
    checksums: false,
    full: false,
    part: false,
  });
  const nothing = { reason: 'unknown', disks: [], checksums: false, full: false, part: false };
  for (const text of [
    '',
    '[]',
    '{"disks":[7]}',
    '{"disks":[{"name":"a","size":-1}],"checksums":1}',
    '{"reason":{}}',
  ])
    t.same(read(text), nothing, text);
});

t.test('a note that does not fit a record is refused', async (t) => {
  t.throws(() => encodeNote({ name: 'x'.repeat(limits.recordNoteBytes), consistency: 'user' }), /fits/);
});

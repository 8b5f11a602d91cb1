// What a source is asked to send again: only what the newest moment lacks, each extent once.
import t from 'tap';
import type { DamagedPlace } from '../../../../agent/journal/catalogue.ts';
import {
  extentsOf,
  extentsToResync,
  resyncCommand,
  unknownExtents,
  type OfferFacts,
} from '../../../../agent/recovery/verify-offer.ts';
import { resyncWords } from '../../../../agent/recovery/verify-words.ts';
import { machineAddress, wholeMachine } from '../../../../core/extents/address.ts';

const facts: OfferFacts = {
  machine: 'web',
  disks: [
    { name: 'root', size: 1000 },
    { name: 'data', size: 500 },
  ],
  cursorLsn: 100,
  unknown: [],
};
const place = (change: Partial<DamagedPlace>): DamagedPlace => ({
  ...{ file: '/r/id/redo/0000000000000065.seg', fromLsn: 101, toLsn: 101 },
  ...{ disk: 'root', start: 10, end: 20 },
  ...change,
});

t.test('redo above the cursor and the replica are what the newest moment is read from', async (t) => {
  const extent = [{ disk: 'root', start: 10, end: 20 }];
  t.same(extentsOf(place({}), facts), extent);
  t.same(extentsOf(place({ file: '/replicas/id-root.raw', fromLsn: 100, toLsn: 100 }), facts), extent);
  t.same(extentsOf(place({ fromLsn: 90, toLsn: 100 }), facts), [], 'what the cursor has passed is in it');
  const nowhere = { disk: null, start: null, end: null };
  t.same(
    extentsOf(place(nowhere), facts).map(({ disk, end }) => [disk, end]),
    [
      ['root', 1000],
      ['data', 500],
    ],
    'lost records may have been about everything',
  );
});

t.test('no source has older content, or our own books', async (t) => {
  for (const file of ['/r/id/undo/1-2.seg', '/r/id/ledger', '/r/id/cursor', '/r/id/machine.json.previous'])
    t.same(extentsOf(place({ file }), facts), [], file);
});

t.test('unknown content of the replica is asked for within its disks', async (t) => {
  const data = machineAddress(1, 0);
  t.same(
    unknownExtents({
      ...facts,
      unknown: [
        [5, 8],
        [data + 490, data + 600],
      ],
    }),
    [
      { disk: 'data', start: 490, end: 500 },
      { disk: 'root', start: 5, end: 8 },
    ],
  );
  const whole = unknownExtents({ ...facts, unknown: [[wholeMachine.start, wholeMachine.end]] });
  t.same(
    whole.map(({ start, end }) => end - start),
    [500, 1000],
  );
});

t.test('extents that touch are one, and many have a short command', async (t) => {
  const extents = extentsToResync([place({}), place({ start: 20, end: 30 }), place({ start: 5, end: 12 })], {
    ...facts,
    unknown: [[40, 50]],
  });
  t.same(extents, [
    { disk: 'root', start: 5, end: 30 },
    { disk: 'root', start: 40, end: 50 },
  ]);
  t.equal(resyncCommand('web', extents), 'homeward resync web --extent root:5-30 --extent root:40-50');
  t.equal(resyncCommand('web', []), null);
  const many = Array.from({ length: 17 }, (_, at) => ({ disk: 'root', start: at * 20, end: at * 20 + 1 }));
  t.equal(resyncCommand('web', many), 'homeward resync web --damaged');
  t.match(resyncWords([], null), /lacks nothing/);
  t.match(resyncWords(many, null), /write these bytes again.*root \[0, 1\).* and more$/);
  t.match(resyncWords(many, 'homeward resync web --damaged'), /what differs is sent/);
});

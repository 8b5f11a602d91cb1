// Checks that the word that was meant is found.
import t from 'tap';
import { nearestWord } from '../../../core/nearest-word.ts';

t.test('the known word with the fewest changes is found', (t) => {
  const known = ['WindowHours', 'WindowMaxBytes', 'SegmentBytes', 'Role'];
  for (const [word, nearest] of [
    ['windowhours', 'WindowHours'],
    ['WindowsHour', 'WindowHours'],
    ['SegmentByte', 'SegmentBytes'],
    ['Rule', 'Role'],
  ] as const)
    t.equal(nearestWord(word, known), nearest);
  t.equal(nearestWord('anything', []), null);
  t.end();
});

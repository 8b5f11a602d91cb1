// A process that ends at any I/O of healing leaves the old file, damaged as it was, or the new one: sound.
import t from 'tap';
import { findUnsound, isSound } from '../../agent/journal/mend-segment.ts';
import { findRecordMagic, recordHeaderBytes } from '../../core/record/record.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { SimulatedCrash, type SimulatedFiles } from '../support/simulated-files.ts';
import { contentOf, healOf, placesOf, recordsOf, writeSome } from './heal-driver.ts';
import { JournalDriver } from './journal-driver.ts';
import { frozenTimers, machine } from './log-driver.ts';

t.setTimeout(110_000);
t.before(() => frozenTimers(t));

interface Sample {
  driver: JournalDriver;
  segment: Segment;
  records: Map<number, Buffer>;
  broken: Buffer;
}

function fileOf(files: SimulatedFiles, { path, bytes }: Segment): Buffer {
  const fd = files.open(path);
  const content = contentOf(files, { fd, bytes });
  files.close(fd);
  return content;
}

/** Some segments, the second of which is damaged, durably. */
async function sampleOf(random: Random, harm: (content: Buffer, random: Random) => void): Promise<Sample> {
  const driver = new JournalDriver();
  await writeSome(driver, random, 24);
  const segment = driver.journal.segments[1];
  if (segment === undefined) throw new Error('there is no second segment');
  const content = contentOf(driver.files, segment);
  const records = recordsOf(driver);
  const broken = Buffer.from(content);
  harm(broken.subarray(0, segment.end), random);
  driver.files.write(segment.fd, [broken], 0);
  await driver.files.sync(segment.fd);
  return { driver, segment, records, broken };
}

const harms: Record<string, (content: Buffer, random: Random) => void> = {
  content: (content) => {
    const start = content.length / 2;
    const at = [...placesOf(content).values()].find(({ at, bytes }) => at > start && bytes > 200)?.at ?? NaN;
    content[at + recordHeaderBytes + 100]! ^= 1;
  },
  header: (content) => {
    content[findRecordMagic(content, Math.floor(content.length / 2)) + 20]! ^= 1;
  },
  block: (content, random) => {
    const at = random.below(Math.max(1, content.length - 4096));
    content.fill(0, at, at + 4096);
  },
};

for (const [what, harm] of Object.entries(harms)) {
  t.test(`${what}: at any call`, async (t) => {
    const seed = chooseSeed(t);
    let last = false;
    let healed = 0;
    for (let n = 1; !last; n++) {
      const sample = await sampleOf(seededRandom(seed), harm);
      const { driver, segment, broken } = sample;
      const { files } = driver;
      const first = files.calls;
      files.onCall = (_name, call) => {
        if (call >= first + n) throw new SimulatedCrash();
      };
      const done = await healOf(driver.journal, sample.records)
        .heal([segment.path])
        .catch(() => []);
      last = files.calls < first + n;
      files.onCall = null;
      if (last) {
        t.equal(done.length, 1, `it takes ${n - 1} calls`);
        await driver.journal.settled();
        await driver.check();
        driver.restartOn(files.kill());
        await driver.open();
        await driver.check();
        break;
      }
      for (const mode of ['drop', 'keep', 'mixed'] as const) {
        const after = files.crash({ seed: n, mode });
        const content = fileOf(after, segment);
        const isHealed = isSound(findUnsound(content, { ...segment, machine }));
        healed += isHealed ? 1 : 0;
        if (!isHealed && !content.equals(broken))
          t.fail(`call ${n}, ${mode}: neither the old nor the new file`);
        if (!isHealed) continue;
        const next = new JournalDriver(after);
        next.requests.push(...driver.requests);
        next.states.splice(0, Infinity, ...driver.states);
        next.completed = driver.completed;
        await next.open();
        await next.check();
      }
    }
    t.ok(healed > 0, `${healed} times the new file was there`);
  });
}

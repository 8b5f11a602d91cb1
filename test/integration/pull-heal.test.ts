// Redo that rots at the master target is had from the process server again, byte for byte; what nobody has
// any more is an error, and never other bytes.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { VerifyReport } from '../../agent/control/client.ts';
import { readChain, type LedgerLine } from '../../agent/journal/ledger-line.ts';
import { NbdErrno } from '../../core/nbd/export.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { recordHeaderBytes, RecordKind } from '../../core/record/record.ts';
import { groupHeaderBytes } from '../../core/segment-log/group.ts';
import { KiB, MiB } from '../../core/units.ts';
import { damage, recordsIn, type SpoolPlace } from '../support/chain-facts.ts';
import { until } from '../support/homeward.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { PullSite, type PlayedSource } from '../support/pull-site.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(120_000);

const size = 2 * MiB;

/** A machine with some segments of redo, none of it applied, and what each LSN made of its disk. */
class Sample {
  readonly site: PullSite;
  readonly web: PlayedSource;
  readonly #disk = Buffer.alloc(size);
  readonly #images = new Map<number, Buffer>();
  #views = 0;

  private constructor(site: PullSite, web: PlayedSource) {
    this.site = site;
    this.web = web;
  }

  static async make(t: Test, settings: Record<string, string> = {}): Promise<Sample> {
    const site = await PullSite.start(t, { REPLICA_LAG: '52w', WINDOW_HOURS: '52w', ...settings });
    const web = site.assign('web', [{ name: 'root', size }]);
    const sample = new Sample(site, web);
    web.syncBegin();
    web.syncEnd();
    await site.startTarget();
    const random = seededRandom(chooseSeed(t));
    for (let count = 0; count < 40; count++) sample.#write(random.bytes(4 * KiB), random.below(size / 4096));
    web.tag('middle');
    for (let count = 0; count < 40; count++)
      sample.#write(random.bytes(8 * KiB), random.below(size / 8192) * 2);
    await site.settled(web);
    return sample;
  }

  #write(data: Buffer, block: number): void {
    data.copy(this.#disk, block * 4096);
    this.#images.set(this.web.write(0, block * 4096, data), Buffer.from(this.#disk));
  }

  get redo(): string {
    return path.join(this.site.data, 'retention', this.web.assignment.machine, 'redo');
  }
  get records(): SpoolPlace[] {
    return recordsIn(this.redo, this.web.assignment.machine);
  }
  get ledger(): LedgerLine[] {
    const lines: LedgerLine[] = [];
    readChain(fs.readFileSync(path.join(this.redo, '..', 'ledger')), (line) => lines.push(line));
    return lines;
  }

  /** A write in a segment that is complete. */
  victim(at: number): SpoolPlace {
    const writes = this.records.filter(({ header }) => header.kind === RecordKind.write);
    const newest = writes.at(-1)?.file;
    const found = writes.filter(({ file }) => file !== newest)[at];
    if (found === undefined) throw new Error(`there is no write ${at} in a complete segment`);
    return found;
  }

  verify(): Promise<VerifyReport> {
    const request = { machine: 'web', part: null, forMs: null };
    return this.site.client.verify(request, () => undefined, new AbortController().signal);
  }

  /** Every point of these LSNs is exact. */
  async isExact(t: Test, lsns: readonly number[]): Promise<void> {
    for (const lsn of lsns) await (await this.view(lsn)).isExact(t, 'it');
  }

  /** A view that is there already when something happens. */
  async view(lsn: number): Promise<{ isExact(t: Test, what: string): Promise<void> }> {
    const image = this.#images.get(lsn);
    if (image === undefined) throw new Error(`${lsn} is no write`);
    const listen = `unix:${path.join(this.site.data, `view-${++this.#views}.sock`)}`;
    const request = { machine: 'web', at: `lsn:${lsn}`, listen, writable: false, leaseMs: null };
    await this.site.client.openView({ ...request, temporary: true });
    return {
      isExact: async (t, what) => {
        const { data, errno } = await readWhole(listen.slice('unix:'.length));
        t.equal(errno, NbdErrno.ok);
        t.ok(data?.equals(image), `${what}: lsn:${lsn} is exact`);
      },
    };
  }

  get lsns(): number[] {
    return [...this.#images.keys()];
  }
  /** The one before what is damaged, that, and the newest. */
  around(lsn: number): number[] {
    const at = this.lsns.indexOf(lsn);
    return [...this.lsns.slice(at - 1, at + 1), this.lsns.at(-1) ?? 0];
  }
}

const whole = (_lsn: number, bytes: Buffer): Buffer => bytes;

/** Of a record in the middle of its group: its payload, its header; the frame before it; a block of them. */
const kinds: Record<string, (place: SpoolPlace) => void> = {
  'a bit of content': ({ file, position }) => damage(file, position + recordHeaderBytes + 1000),
  'a record header': ({ file, position }) => damage(file, position + 20),
  'the first frame': ({ file }) => damage(file, groupHeaderBytes - 50),
  'two blocks': ({ file, position }) => {
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, Buffer.alloc(8 * KiB), 0, 8 * KiB, position);
    fs.closeSync(fd);
  },
};

t.test('while it runs, rot of every kind is healed by verify, and views that are open read on', async (t) => {
  const sample = await Sample.make(t);
  const { site } = sample;
  site.again = whole;
  t.same((await sample.verify()).damaged, []);
  const shown = sample.around(sample.victim(9).header.lsn);
  const views = await Promise.all(shown.map((lsn) => sample.view(lsn)));
  for (const [at, [kind, harm]] of Object.entries(kinds).entries()) {
    const victim = sample.victim(7 + at);
    const { size: before } = fs.statSync(victim.file);
    harm(victim);
    const report = await sample.verify();
    t.match(report, { ok: true, resync: null, offer: null }, `${kind}: ${JSON.stringify(report.damaged)}`);
    t.ok(
      (report.healed ?? []).some(({ file }) => file === victim.file),
      JSON.stringify(report.healed),
    );
    t.equal(fs.statSync(victim.file).size, before);
    const file = `redo/${path.basename(victim.file)}`;
    t.match(sample.ledger.at(-1), { event: 'sealed', file, why: /^healed/ });
    for (const view of views) await view.isExact(t, kind);
    t.same((await sample.verify()).damaged, [], 'what lies there now is what the ledger says');
  }
  t.ok(
    site.log.some((line) => line.includes('event=redo-healed')),
    'the log says so',
  );
  await site.restartTarget();
  t.same((await sample.verify()).damaged, [], 'also after a start');
  for (const lsn of shown) await (await sample.view(lsn)).isExact(t, 'after a start');
  t.notOk(fs.existsSync(path.join(sample.redo, 'spare-0.new')));
});

t.test('records that are lost when it starts are had again by themselves', async (t) => {
  const sample = await Sample.make(t);
  const { site } = sample;
  site.again = whole;
  const victim = sample.victim(5);
  await site.stop();
  kinds['two blocks']?.(victim);
  // Without its table the segment is read at the start, and the loss is seen then.
  fs.rmSync(path.join(sample.redo, '..', 'derived'), { recursive: true });
  await site.startTarget();
  await until('it to be healed', () => site.log.some((line) => line.includes('event=redo-healed')));
  await until('the loss to be forgotten', async () => (await site.status('web')).state !== 'damaged');
  t.same((await sample.verify()).damaged, []);
  await sample.isExact(t, sample.around(victim.header.lsn));
  const { tags } = await site.client.points('web');
  t.same(
    tags.map(({ name }) => name),
    ['middle'],
  );
});

t.test('a step that finds rot has the records again, and what it writes is right', async (t) => {
  const sample = await Sample.make(t);
  const { site } = sample;
  site.again = whole;
  const [first, second] = [sample.victim(5), sample.victim(20)];
  await site.stop();
  kinds['a bit of content']?.(first);
  kinds['a record header']?.(second);
  const later = await applied(sample);
  t.ok(
    later.log.some((line) => line.includes('event=redo-healed')),
    'it was healed on the way',
  );
  t.match(await sample.verify(), { ok: true, unknown: [] });
  await sample.isExact(t, [...sample.around(first.header.lsn), ...sample.around(second.header.lsn)]);
});

t.test('what nobody has any more is an error until it is written again, and never other bytes', async (t) => {
  const sample = await Sample.make(t);
  const { site, web } = sample;
  const victim = sample.victim(5);
  site.again = (lsn, bytes) => (lsn === victim.header.lsn ? null : bytes);
  kinds['a bit of content']?.(victim);
  const { offset, lsn } = victim.header;
  const report = await sample.verify();
  t.equal(report.ok, false);
  t.match(report.damaged, [{ fromLsn: lsn, toLsn: lsn, disk: 'root', in: 'redo', start: offset }]);
  t.equal(report.offer, `homeward resync web --extent root:${offset}-${offset + 4096}`);
  t.same(report.damaged[0]?.offer, report.offer);
  await t.rejects(site.recovered('web', `lsn:${lsn}`), { code: 'damaged' });
  await sample.isExact(t, [lsn - 1]);
  await site.stop();
  await applied(sample);
  const { unknown = [], offer } = await sample.verify();
  const isLater = unknown.length === 0;
  t.ok(isLater || unknown.some(({ start, end }) => start <= offset && offset < end), JSON.stringify(unknown));
  if (!isLater) t.match(offer, /^homeward resync web --extent root:/);
  await t.rejects(site.recovered('web', `lsn:${lsn}`), { code: 'damaged' });
  web.write(0, 0, Buffer.alloc(size, 7));
  await site.settled(web);
  t.ok((await site.recovered('web', 'latest')).equals(Buffer.alloc(size, 7)), 'the next write ends it');
});

t.test('a process server that does not know the question is no reason to wait', async (t) => {
  const sample = await Sample.make(t);
  const victim = sample.victim(5);
  kinds['a bit of content']?.(victim);
  t.match(await sample.verify(), { ok: false, damaged: [{ fromLsn: victim.header.lsn }], healed: [] });
  t.ok(sample.site.log.some((line) => line.includes('event=redo-not-healed')));
});

t.test('what comes as another record is not taken', async (t) => {
  const sample = await Sample.make(t);
  const { site, web } = sample;
  const [victim, other] = [sample.victim(5), sample.victim(6)];
  const wrong = web.records.find(({ lsn }) => lsn === other.header.lsn)?.bytes ?? Buffer.alloc(0);
  site.again = (lsn, bytes) => (lsn === victim.header.lsn ? wrong : bytes);
  kinds['a bit of content']?.(victim);
  t.match(await sample.verify(), { ok: false, damaged: [{ fromLsn: victim.header.lsn }] });
  site.again = (_lsn, bytes) => {
    const copy = Buffer.from(bytes);
    copy[copy.length - 1]! ^= 1;
    return copy;
  };
  t.match(await sample.verify(), { ok: false, damaged: [{ fromLsn: victim.header.lsn }] });
});

async function readWhole(socket: string): Promise<{ data: Buffer | null; errno: number }> {
  const client = await NbdClient.open({ path: socket }, 'root', { structured: false });
  const answer = await client.ask(Command.read, 0, size);
  client.socket.destroy();
  return answer;
}

/** The cursor goes to the end: started anew, with no lag. */
async function applied({ site, web }: Sample): Promise<PullSite> {
  site.settings({ REPLICA_LAG: '0' });
  await site.startTarget();
  await until('the cursor to be at the end', async () => (await site.status('web')).appliedLsn === web.lsn);
  return site;
}

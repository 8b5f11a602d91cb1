// Random breaks, kills and acknowledgements: a master target gets every record once, in order; none is lost.
import t, { type Test } from 'tap';
import { until } from '../support/homeward.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { makeRecords, SpoolSite, type ChainClient, type SpoolMachine } from '../support/spool-site.ts';

const steps = 60;

/** Both ends of one machine, and what each still knows after a break. */
class Ends {
  head = 0;
  durable = 0;
  #spooled = 0;
  #source: ChainClient | null = null;
  #target: ChainClient | null = null;
  readonly #t: Test;
  readonly #random: Random;
  readonly #site: SpoolSite;
  readonly #machine: SpoolMachine;

  constructor(t: Test, random: Random, site: SpoolSite, machine: SpoolMachine) {
    this.#t = t;
    this.#random = random;
    this.#site = site;
    this.#machine = machine;
  }

  async connectSource(): Promise<void> {
    this.#spooled = Math.max(this.#spooled, this.#source?.acked.spooled ?? 0);
    const source = await this.#site.source(this.#machine, { head: this.head, heldFrom: this.#spooled + 1 });
    const spooled = source.welcomed?.spooled ?? -1;
    if (spooled < this.#spooled) this.#t.fail(`${spooled} is spooled, ${this.#spooled} was acknowledged`);
    if (spooled < this.head) source.send(...makeRecords(this.#machine, spooled + 1, this.head));
    this.#source = source;
  }

  async connectTarget(): Promise<void> {
    this.#check();
    this.#target = await this.#site.target(this.#machine, { durable: this.durable, applied: 0 });
  }

  /** The master target makes some of what it has received durable. */
  acknowledge(): void {
    this.#check();
    const target = this.#target;
    if (target === null || target.lsns.length === 0) return;
    const count = 1 + this.#random.below(target.lsns.length);
    this.durable += count;
    target.headers.splice(0, count);
    target.has(this.durable, Math.floor(this.durable / 2));
  }

  send(): void {
    const source = this.#source;
    if (source === null || this.head - source.acked.spooled > 100) return;
    const last = this.head + 1 + this.#random.below(40);
    const bytes = 512 * (1 + this.#random.below(16));
    source.send(...makeRecords(this.#machine, this.head + 1, last, { bytes }));
    this.head = last;
  }

  async kill(): Promise<void> {
    await this.#site.killAndRestart();
    await this.connectSource();
    await this.connectTarget();
  }

  /** What has been received follows what is durable. */
  #check(): void {
    const lsns = this.#target?.lsns ?? [];
    const at = lsns.findIndex((lsn, index) => lsn !== this.durable + 1 + index);
    if (at >= 0) this.#t.fail(`record ${lsns[at]} came where ${this.durable + 1 + at} belongs`);
  }
}

t.test('whatever breaks, the master target has the whole sequence', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '2M' });
  const ends = new Ends(t, random, site, await site.machine('web'));
  await ends.connectSource();
  await ends.connectTarget();
  for (let step = 0; step < steps; step++) {
    const dice = random.below(20);
    if (dice < 11) ends.send();
    else if (dice < 17) ends.acknowledge();
    else if (dice < 18) await ends.connectSource();
    else if (dice < 19) await ends.connectTarget();
    else await ends.kill();
    await new Promise(setImmediate);
  }
  await until('everything is there', () => {
    ends.acknowledge();
    return ends.durable === ends.head;
  });
  t.ok(ends.head > 0);
});

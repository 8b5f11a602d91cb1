// What redo and undo tell is recovered without replicas, and without the cursor: exact, or not at all.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { RecoverReport } from '../../agent/control/client.ts';
import type { Rescuable } from '../../agent/recovery/rescue/client.ts';
import { hastySettings, HistorySite, killWhen, machineName } from '../support/history-site.ts';
import { homeward } from '../support/homeward.ts';
import { sectorBytes } from '../support/oracle.ts';

t.setTimeout(300_000);

const rounds = Number(process.env['HOMEWARD_ROUNDS'] ?? 6);

interface Rescued {
  status: number | null;
  code: string | null;
  image: Buffer | null;
  damaged: NonNullable<RecoverReport['damaged']>;
}

class Rescue {
  readonly #site: HistorySite;
  readonly #retention: string;
  #outputs = 0;

  constructor(site: HistorySite) {
    this.#site = site;
    this.#retention = site.target.inData('retention');
  }

  async list(): Promise<Rescuable | undefined> {
    const { out } = await homeward(['rescue', this.#retention, '--json']);
    return (JSON.parse(out) as { machines: Rescuable[] }).machines[0];
  }

  async recover(at: string, ...more: string[]): Promise<Rescued> {
    const out = this.#site.target.inDirectory(`rescued-${(this.#outputs += 1)}`);
    const to = ['--at', at, '--to', `raw:${out}`, '--json', ...more];
    const { status, out: said, err } = await homeward(['rescue', this.#retention, machineName, ...to]);
    const last = JSON.parse((status === 0 ? said : err).trimEnd().split('\n').at(-1) ?? '') as {
      result?: RecoverReport;
      error?: { code: string };
    };
    const [disk] = last.result?.disks ?? [];
    const image = disk === undefined ? null : fs.readFileSync(disk.to);
    fs.rmSync(out, { recursive: true, force: true });
    return { status, code: last.error?.code ?? null, image, damaged: last.result?.damaged ?? [] };
  }

  /** Exact. */
  async check(t: Test, lsn: number, what: string): Promise<void> {
    const { status, code, image } = await this.recover(`lsn:${lsn}`);
    t.equal(status, 0, `lsn:${lsn}: ${what} (${code ?? 'there'})`);
    if (image !== null) t.same(this.#site.oracle.compare(image, this.#site.changesAt(lsn)), [], what);
  }

  /** Exact but for what it says is damaged. */
  async checkRest(t: Test, lsn: number, what: string): Promise<number> {
    const { image, damaged, code } = await this.recover(`lsn:${lsn}`, '--allow-damaged');
    if (image === null) {
      t.fail(`lsn:${lsn}: ${what}: ${code ?? ''}`);
      return 0;
    }
    const isTold = (sector: number): boolean =>
      damaged.some(({ start, end }) => start < (sector + 1) * sectorBytes && sector * sectorBytes < end);
    const wrong = this.#site.oracle.compare(image, this.#site.changesAt(lsn));
    t.same(
      wrong.filter(({ sector }) => !isTold(sector)),
      [],
      `lsn:${lsn}: ${what}: nothing wrong is silent`,
    );
    return damaged.length;
  }
}

/** Steps and tags, and a step in whose midst it was killed. */
async function makeHistory(t: Test, settings: object, kept: readonly string[] = []): Promise<HistorySite> {
  const site = await HistorySite.start(t, { ...hastySettings, ...settings });
  if (kept.length > 0) await site.writeKept(kept);
  for (let step = 0; step < 3; step += 1) {
    await site.write(60);
    await site.tag(`tag-${step}`);
    await site.writeSteps(1);
  }
  const stop = killWhen(site, (room, name) => room === 'undo' && name.endsWith('.seg'));
  await site.writeUntilKilled();
  stop();
  await site.write(30);
  await site.target.kill();
  return site;
}

const cursorOf = ({ directory }: HistorySite): string => path.join(directory, 'cursor');

t.test('without replicas every moment is there, down to the first record', async (t) => {
  const site = await makeHistory(t, { WindowHours: '1h' });
  const rescue = new Rescue(site);
  const { latest } = (await rescue.list()) ?? {};
  const newest = latest?.lsn ?? 0;
  t.ok(newest > 180, `${newest} is the newest`);
  const some = Array.from({ length: rounds }, () => 1 + site.random.below(newest - 1));
  for (const lsn of [0, newest, ...site.tagLsns, ...some]) await rescue.check(t, lsn, 'without replicas');

  const cursor = fs.readFileSync(cursorOf(site));
  fs.unlinkSync(cursorOf(site));
  t.match(await rescue.list(), { machine: machineName, latest: { lsn: newest } }, 'it is known who it is');
  for (const lsn of [0, newest, ...site.tagLsns, ...some]) await rescue.check(t, lsn, 'without the cursor');
  for (let at = 100; at < cursor.length; at += 512) cursor[at] = (cursor[at] ?? 0) ^ 0x10;
  fs.writeFileSync(cursorOf(site), cursor);
  await rescue.check(t, newest, 'with a damaged cursor');
});

t.test('where redo is gone, what nobody tells of is said', async (t) => {
  const site = await makeHistory(t, { KeepRules: 'tags=4w' }, ['old', 'older']);
  const rescue = new Rescue(site);
  for (const without of ['replicas', 'the cursor']) {
    if (without === 'the cursor') fs.unlinkSync(cursorOf(site));
    const { latest, kept = [] } = (await rescue.list()) ?? {};
    const newest = latest?.lsn ?? 0;
    t.ok(newest > 180, `${newest} is the newest`);
    let places = 0;
    for (const lsn of [newest, newest - 5, ...kept.map((point) => point.lsn)])
      places += await rescue.checkRest(t, lsn, `without ${without}`);
    t.ok(places > 0, 'not all is known');
    t.match(await rescue.recover(`lsn:${newest}`), { status: 4 }, 'nor is it given without being asked for');
  }
});

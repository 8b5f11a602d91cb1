// Whatever moment an installation or an upgrade is ended at, the host has the old version or the new one, and
// the next run puts everything right.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { run, type Ended } from '../support/homeward.ts';
import { InstallerSite } from '../support/installer-site.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const every = process.env['HOMEWARD_LONG'] === '1';
const sampled = 3;

/** Bash runs this before the installer: it counts what changes something, and sends a signal before one. */
const interrupter = `
unset BASH_ENV
set -T
before() {
  local seen
  case $1 in
    mv\\ * | ln\\ * | cp\\ * | rm\\ * | mkdir\\ * | chmod\\ * | cat\\ * | systemctl\\ * | timeout\\ *) ;;
    *) return ;;
  esac
  printf . >>"$COUNTER"
  seen=$(<"$COUNTER")
  [ \${#seen} -ne "$STOP" ] || kill -"$SIGNAL" $$ $( [ $BASHPID = $$ ] || echo $BASHPID )
}
trap 'before "$BASH_COMMAND"' DEBUG
`;

interface Stop {
  at: number;
  signal: 'KILL' | 'TERM';
}

/** Ends the installer before its change number `at`; 0 lets it run. Says how many changes it came to. */
async function interrupted(
  site: InstallerSite,
  args: readonly string[],
  { at, signal, version = '1.0.0' }: Stop & { version?: string },
): Promise<Ended & { changes: number }> {
  const counter = path.join(site.directory, 'counter');
  const script = path.join(site.directory, 'interrupter');
  fs.writeFileSync(counter, '');
  fs.writeFileSync(script, interrupter);
  const env = { BASH_ENV: script, COUNTER: counter, STOP: String(at), SIGNAL: signal };
  const ended = await site.install(args, { version, env });
  return { ...ended, changes: fs.statSync(counter).size };
}

/** A host at one state, to which it is put back as often as needed. */
class Before {
  readonly #site: InstallerSite;
  readonly #copy: string;

  constructor(site: InstallerSite) {
    this.#site = site;
    this.#copy = path.join(site.directory, 'before');
    fs.cpSync(site.root, this.#copy, { recursive: true, verbatimSymlinks: true });
  }

  restore(): void {
    fs.rmSync(this.#site.root, { recursive: true });
    fs.cpSync(this.#copy, this.#site.root, { recursive: true, verbatimSymlinks: true });
  }
}

/** What `current` leads to is whole, or there is nothing that would start. */
async function isWhole(
  t: Test,
  site: InstallerSite,
  versions: readonly string[],
  note: string,
): Promise<void> {
  const current = site.at('usr/local/ASR/Vx/current');
  const link = fs.lstatSync(current, { throwIfNoEntry: false });
  if (link === undefined) {
    t.notOk(versions.includes('1.0.0') && versions.length > 1, `${note}: no version at all`);
    t.notMatch(site.calls().join('\n'), 'systemctl enable', `${note}: nothing, and nothing starts`);
    return;
  }
  const name = path.basename(fs.readlinkSync(current));
  t.ok(versions.includes(name), `${note}: ${name}`);
  const { status, out } = await run('diff', [
    '-r',
    '--no-dereference',
    path.join(site.package(name), 'release'),
    `${current}/`,
  ]);
  t.equal(status, 0, `${note}: ${name} is whole ${out}`);
  const unit = site.read('etc/systemd/system/homeward-master-target.service') ?? '';
  t.match(unit, /\[Install\]\nWantedBy=.*\n$/, `${note}: its unit is whole`);
  t.match(
    site.read('usr/local/ASR/Vx/etc/drscout.conf'),
    'Role = MasterTarget',
    `${note}: and its configuration`,
  );
}

/** Which changes it is ended at: some, another few each time, or every one. */
function moments(t: Test, changes: number): number[] {
  const all = Array.from({ length: changes }, (_, at) => at + 1);
  if (every) return all;
  const random = seededRandom(chooseSeed(t));
  return all
    .map((at) => ({ at, order: random.next() }))
    .toSorted((a, b) => a.order - b.order)
    .slice(0, sampled)
    .map(({ at }) => at)
    .toSorted((a, b) => a - b);
}

const args = ['-q', '-r', 'MT', '--alone'];

t.test(
  'kill -9 before any change of a first installation: nothing or all of it; the next run heals',
  async (t) => {
    const site = new InstallerSite(t);
    const before = new Before(site);
    const { changes, status, err } = await interrupted(site, args, { at: 0, signal: 'KILL' });
    t.equal(status, 0, err);
    const wanted = site.snapshot();
    t.comment(`${changes} changes`);
    for (const at of moments(t, changes)) {
      before.restore();
      site.forget();
      await interrupted(site, args, { at, signal: 'KILL' });
      await isWhole(t, site, ['1.0.0'], `before change ${at}`);
      const healed = await site.install(args);
      t.equal(healed.status, 0, healed.err);
      t.same(site.snapshot(), wanted, `healed after change ${at}`);
      t.equal(site.service(), 'active 1.0.0');
    }
  },
);

t.test(
  'kill -9 before any change of an upgrade: the old version or the new; the next run heals',
  async (t) => {
    const site = new InstallerSite(t);
    await site.install(args);
    const before = new Before(site);
    const { changes, status, err } = await interrupted(site, args, {
      at: 0,
      signal: 'KILL',
      version: '1.1.0',
    });
    t.equal(status, 0, err);
    const wanted = site.snapshot();
    t.comment(`${changes} changes`);
    for (const at of moments(t, changes)) {
      before.restore();
      site.runs('1.0.0');
      await interrupted(site, args, { at, signal: 'KILL', version: '1.1.0' });
      await isWhole(t, site, ['1.0.0', '1.1.0'], `before change ${at}`);
      const healed = await site.install(args, { version: '1.1.0' });
      t.equal(healed.status, 0, healed.err);
      t.same(site.snapshot(), wanted, `healed after change ${at}`);
      t.equal(site.service(), 'active 1.1.0');
    }
  },
);

t.test('SIGTERM at any change: what was begun is taken back, or the host is whole', async (t) => {
  const site = new InstallerSite(t);
  const empty = site.snapshot();
  const before = new Before(site);
  const { changes } = await interrupted(site, args, { at: 0, signal: 'TERM' });
  const wanted = site.snapshot();
  for (const at of moments(t, changes)) {
    before.restore();
    site.forget();
    const ended = await interrupted(site, args, { at, signal: 'TERM' });
    t.equal(ended.status, 143, ended.err);
    const installed = fs.existsSync(site.at('usr/local/ASR/Vx/current'));
    const left = site.snapshot().filter((line) => !/^(?:etc|usr|var)\/[^:>]*\/$/.test(line));
    if (installed) t.same(site.snapshot(), wanted, `change ${at}: all of it`);
    else
      t.same(
        left,
        empty.filter((line) => left.includes(line)),
        `change ${at}: nothing but empty directories`,
      );
  }
});

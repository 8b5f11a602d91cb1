// Undo that is gone, flipped, cut or exchanged, under a running daemon and before a start: never wrong bytes,
// and verify names the file.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { parseUndoFileName } from '../../agent/replica/undo/undo-names.ts';
import { checkReadable } from '../support/damaged-view.ts';
import { hastySettings, HistorySite, machineName, verified, type View } from '../support/history-site.ts';
import { skipUnless } from '../support/needs.ts';

t.setTimeout(300_000);

const skip = skipUnless({ full: true });

interface Damage {
  name: string;
  only?: 'stopped' | 'running';
  /** Gives back the files that were touched. */
  damage(undo: string, files: readonly string[], site: HistorySite): string[];
}

const damages: Damage[] = [
  {
    name: 'one is deleted',
    damage: (undo, files, { random }) => {
      const file = random.pick(files);
      fs.unlinkSync(path.join(undo, file));
      return [file];
    },
  },
  {
    name: 'the oldest is deleted',
    damage: (undo, [oldest = '']) => {
      fs.unlinkSync(path.join(undo, oldest));
      return [oldest];
    },
  },
  {
    name: 'a byte is flipped',
    damage: (undo, files, { random, t }) => {
      const file = random.pick(files);
      const at = random.below(fs.statSync(path.join(undo, file)).size);
      flip(path.join(undo, file), at);
      t.comment(`byte ${at} of ${file}`);
      return [file];
    },
  },
  {
    name: 'a byte of its beginning is flipped',
    damage: (undo, files, { random, t }) => {
      const file = random.pick(files);
      const at = random.below(512);
      flip(path.join(undo, file), at);
      t.comment(`byte ${at} of ${file}`);
      return [file];
    },
  },
  {
    name: 'two are exchanged',
    damage: (undo, files, { random }) => {
      const at = random.below(files.length - 1);
      const [one = '', other = ''] = files.slice(at);
      fs.renameSync(path.join(undo, one), path.join(undo, 'between'));
      fs.renameSync(path.join(undo, other), path.join(undo, one));
      fs.renameSync(path.join(undo, 'between'), path.join(undo, other));
      return [one, other];
    },
  },
  {
    name: 'one is cut',
    damage: (undo, files, { random, t }) => {
      const file = random.pick(files);
      const length = random.below(fs.statSync(path.join(undo, file)).size);
      fs.truncateSync(path.join(undo, file), length);
      t.comment(`${file} cut at ${length}`);
      return [file];
    },
  },
];

function flip(file: string, at: number): void {
  const fd = fs.openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
}

/** Four kept points, and a dense window behind them. */
async function makeHistory(t: Test): Promise<HistorySite> {
  const site = await HistorySite.start(t, { ...hastySettings, KeepRules: 'tags=4w' });
  await site.writeKept(['a', 'b', 'c', 'd']);
  await site.target.ask('retention', machineName, '--window', '1h');
  for (let n = 0; n < 3; n += 1) {
    await site.write(60);
    await site.applyAll();
  }
  return site;
}

/** Whatever can be opened shows nothing wrong; points above the damage show everything. */
async function checkPoints(site: HistorySite, touched: readonly string[], open: View[]): Promise<void> {
  const { target, t } = site;
  const end = Math.max(...touched.map((name) => parseUndoFileName(name)?.to ?? 0));
  const { window } = await site.points();
  const [oldest = 0] = site.tagLsns;
  const newest = window?.to.lsn ?? 0;
  for (const lsn of new Set([oldest, end, newest])) {
    const view = await target.view(machineName, `lsn:${lsn}`).catch((error: unknown) => {
      const { code, message } = error as { code?: string; message: string };
      t.ok(lsn < end, `lsn:${lsn} is refused: ${message}`);
      t.ok(['damaged', 'thinned', 'outside-window'].includes(code ?? ''), code ?? message);
      return null;
    });
    if (view === null) continue;
    const unread = await checkReadable(site, view, 'opened after the damage');
    if (lsn >= end) t.equal(unread, 0, `lsn:${lsn} is above the damage`);
    await target.closeView(view.id);
  }
  for (const view of open) await checkReadable(site, view, 'opened before the damage');
}

async function verifyNames(site: HistorySite, touched: readonly string[]): Promise<void> {
  const { ok, damaged } = await verified(site.target);
  site.t.equal(ok, false);
  for (const file of touched) {
    const found = damaged.find((each) => path.basename(each.file) === file);
    site.t.ok(found, `verify names ${file}: ${found?.what}`);
    if (found === undefined) site.t.comment(JSON.stringify(damaged));
  }
}

/** Does each damage to the same history, while the daemon is stopped or while views are open. */
async function tryAll(t: Test, when: 'stopped' | 'running'): Promise<void> {
  const site = await makeHistory(t);
  const { target, oracle } = site;
  const { length } = oracle.changes;
  const undo = path.join(site.directory, 'undo');
  await target.stop();
  const kept = target.inDirectory('kept');
  execFileSync('cp', ['-a', target.data, kept]);
  const files = site.undoFiles;
  t.ok(files.length >= 6, `${files.length} undo segments`);
  for (const { name, only = when, damage } of damages) {
    if (only !== when) continue;
    t.comment(name);
    let touched: string[] = [];
    let open: View[] = [];
    if (when === 'stopped') touched = damage(undo, files, site);
    await site.comeBack();
    if (when === 'running') {
      open = [await target.view(machineName, `tag:${site.random.pick(['a', 'c'])}`)];
      touched = damage(undo, files, site);
    }
    await checkPoints(site, touched, open);
    await verifyNames(site, touched);
    await site.write(50);
    await site.checkAt('latest', 'writing goes on');
    await target.kill();
    site.wentBackTo(length);
    fs.rmSync(target.data, { recursive: true });
    execFileSync('cp', ['-a', kept, target.data]);
  }
  await site.comeBack();
  t.match(await verified(target), { ok: true, damaged: [] }, 'as it was before, it is sound');
}

t.test('undo is damaged before a start: nothing wrong is shown, and verify says which', { skip }, (t) =>
  tryAll(t, 'stopped'),
);
t.test('undo is damaged under views: nothing wrong is shown, and verify says which', { skip }, (t) =>
  tryAll(t, 'running'),
);

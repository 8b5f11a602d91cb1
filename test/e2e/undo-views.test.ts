// The replica follows at once: views of any moment stay exact while steps are applied, redo goes, and the
// daemon is killed in the midst of it; they come back as they were.
import t from 'tap';
import { NbdErrno } from '../../core/nbd/export.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { until } from '../support/homeward.ts';
import {
  diskName,
  hastySettings,
  historyDiskBytes,
  HistorySite,
  killWhen,
  machineName,
  socketOf,
  type FileEvent,
  type View,
} from '../support/history-site.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { readExport } from '../support/oracle-writer.ts';

t.setTimeout(240_000);

const kills = Number(process.env['HOMEWARD_ROUNDS'] ?? 4);

t.test('views of any moment are exact while the cursor passes them and redo goes', async (t) => {
  const site = await HistorySite.start(t, hastySettings);
  const { target, random } = site;
  await site.write(200);
  const views: View[] = [];
  for (let round = 1; round <= 3; round += 1) {
    views.push(await site.openSome(), await site.openSome());
    const writing = site.writeSteps(1);
    let ended = false;
    void writing.finally(() => (ended = true));
    while (!ended) await site.check(random.pick(views), 'while it is written and applied');
    await writing;
  }
  const newest = Math.max(...views.map(({ lsn }) => lsn));
  await until('the cursor to pass all views', async () => (await site.status()).appliedLsn > newest);
  for (const view of views) await site.check(view, 'the cursor has passed it');
  t.ok((await site.status()).undoBytes > 0, 'undo is kept');
  for (const { id } of views) await target.closeView(id);
  const { redoBytes } = await site.status();
  await until('redo to go', async () => (await site.status()).redoBytes < redoBytes);
  await site.checkAll();
  t.notMatch(target.log, /level=error/);
});

/** What a writable view holds, and has to hold again. */
interface Written {
  view: View;
  image: Buffer;
}

async function writeToView(site: HistorySite, at: string): Promise<Written> {
  const { random } = site;
  const view = await site.openWritable(at);
  const image = await site.check(view);
  const nbd = await NbdClient.open({ path: socketOf(view) }, diskName, { structured: false });
  for (let n = 0; n < 20; n += 1) {
    const offset = random.below(historyDiskBytes / 512 - 64) * 512;
    const data = Buffer.alloc(512 * (1 + random.below(63)), 0x40 + n);
    const { errno } = await nbd.ask(Command.write, offset, data.length, data);
    if (errno !== NbdErrno.ok) throw new Error(`a write to the view failed with errno ${errno}`);
    data.copy(image, offset);
  }
  site.t.equal((await nbd.ask(Command.flush, 0, 0)).errno, NbdErrno.ok);
  nbd.socket.destroy();
  return { view, image };
}

const phases: Record<string, FileEvent> = {
  'undo is made': (room, name) => room === 'undo' && name.endsWith('.seg.new'),
  'a step is open': (room, name) => room === 'undo' && name.endsWith('.seg'),
  'the cursor moves': (room, name) => room === '' && name.startsWith('cursor'),
  'redo goes': (room, name) => room === 'redo' && !name.endsWith('.seg'),
};

t.test('killed in the midst of a step, or while redo goes, it comes back with all views', async (t) => {
  const site = await HistorySite.start(t, hastySettings);
  const { target, random } = site;
  await site.write(150);
  // A boundary, so that redo goes in spite of this view.
  const written = await writeToView(site, `lsn:${await site.tag('written')}`);
  const views: View[] = [await site.openSome()];
  for (let round = 1; round <= kills; round += 1) {
    const phase = Object.keys(phases)[(round - 1) % 4] ?? '';
    t.comment(`round ${round}: ${phase}`);
    const stop = killWhen(site, phases[phase]!, random.below(3));
    await site.writeUntilKilled(phase === 'redo goes' ? [written.view] : views);
    stop();
    const open = await target.client.listViews();
    t.same(
      sorted(open),
      sorted([written.view, ...views]),
      'the views are there under their ids and addresses',
    );
    for (const view of views) await site.check(view, 'after kill -9');
    const again = await readExport(socketOf(written.view), diskName, historyDiskBytes);
    t.ok(again.equals(written.image), 'what was written to a view is there');
    await site.checkAll();
    // Before the round in which redo is to go nothing holds it.
    if (round % 4 === 3) for (const { id } of views.splice(0)) await target.closeView(id);
    else views.push(await site.openSome());
  }
  t.notMatch(target.log, /level=error/);
  t.equal((await target.client.closeViews({ machine: machineName, at: null })).length, views.length + 1);
});

const sorted = (views: readonly View[]): object[] =>
  views
    .map(({ id, lsn, listen }) => ({ id, lsn, listen }))
    .toSorted((one, other) => one.id.localeCompare(other.id));

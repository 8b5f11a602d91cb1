// The signal: files that are encrypted on a mounted file system are noticed and the moment before is kept;
// what else writes much raises no alarm.
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { PointsReport } from '../../agent/control/client.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { limits } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, runOk, until } from '../support/homeward.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import { attachFile, attachNbd, makeFileSystem, mount, mountCommands } from '../support/mounted-disk.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { skipUnless } from '../support/needs.ts';
import { initDatabase, postgresMissing, query, startServer } from '../support/postgres.ts';

t.setTimeout(240_000);
// Each waits for steps most of the time.
t.jobs = 4;

const missing =
  skipUnless({ root: true, commands: [...mountCommands, 'sqlite3', 'fstrim'], files: ['/dev/fuse'] }) ||
  (loopDeviceMissing() ?? false);

/** Steps come as soon as they may, so that the replica is where the writes are. */
const eager = { ReplicaLag: '0s' };

interface Box {
  target: MasterTarget;
  socket: string;
  disk: string;
  unmount(): Promise<void>;
}

/** A machine whose disk `system` is mounted. */
async function startBox(t: Test, megabytes: number, ...more: string[]): Promise<Box> {
  const target = await MasterTarget.start(t, eager);
  const socket = await target.ingest('box', [`system=${megabytes}M`, ...more]);
  const device = await attachNbd(t, target.directory, nbdUri(socket, 'system'));
  await makeFileSystem('ext4', device);
  const disk = target.inDirectory('disk');
  const unmount = await mount(t, 'ext4', device, disk);
  return { target, socket, disk, unmount };
}

const points = ({ target }: Box): Promise<PointsReport> => target.client.points('box', { rates: true });

/** All that was written is in the replica, and was looked at. */
async function settle({ target, disk }: Box): Promise<number> {
  await runOk('sync', ['-f', disk]);
  const { headLsn } = await target.status('box');
  await until('the replica to follow', async () => (await target.status('box')).appliedLsn >= headLsn);
  return headLsn;
}

/** Files of this host, copied: their paths and hashes. */
function copyTree(from: string, to: string, bytes: number): Map<string, string> {
  const hashes = new Map<string, string>();
  let copied = 0;
  const copy = (directory: string): void => {
    for (const entry of fs.readdirSync(path.join(from, directory), { withFileTypes: true })) {
      const name = path.join(directory, entry.name);
      if (copied >= bytes) return;
      if (entry.isDirectory()) copy(name);
      if (!entry.isFile()) continue;
      const content = fs.readFileSync(path.join(from, name));
      if (content.length === 0 || content.length > 2 * MiB) continue;
      fs.mkdirSync(path.join(to, directory), { recursive: true });
      fs.writeFileSync(path.join(to, name), content);
      hashes.set(name, hashOf(content));
      copied += content.length;
    }
  };
  copy('.');
  return hashes;
}

const hashOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

/** As ransomware does it: in place, or as a new file that takes the place of the old. */
function encryptTree(root: string, names: Iterable<string>, how: 'in-place' | 'replace'): void {
  for (const name of names) {
    const file = path.join(root, name);
    const cipher = createCipheriv('aes-256-ctr', randomBytes(32), randomBytes(16));
    const encrypted = cipher.update(fs.readFileSync(file));
    if (how === 'replace') {
      fs.writeFileSync(`${file}.locked`, encrypted);
      fs.renameSync(`${file}.locked`, file);
      continue;
    }
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, encrypted, 0, encrypted.length, 0);
    fs.closeSync(fd);
  }
}

/** The files of the image at a point whose content is not what it was. */
async function changedAt(t: Test, box: Box, when: string, hashes: Map<string, string>): Promise<string[]> {
  const directory = box.target.inDirectory('clean');
  await box.target.ask('recover', 'box', '--at', when, '--to', `raw:${directory}`);
  const device = await attachFile(t, `${directory}/system.raw`);
  const unmount = await mount(t, 'ext4', device, `${directory}/disk`);
  const changed = [...hashes].flatMap(([name, hash]) => {
    const file = path.join(directory, 'disk/tree', name);
    return fs.existsSync(file) && hashOf(fs.readFileSync(file)) === hash ? [] : [name];
  });
  await unmount();
  return changed;
}

function describe({ rate = [] }: PointsReport): string {
  const mebibytes = (bytes = 0): string => (bytes / MiB).toFixed(1);
  const sum = (of: 'rewritten' | 'zeroed' | 'encrypted'): string =>
    mebibytes(rate.reduce((all, { signal }) => all + (signal?.[of] ?? 0), 0));
  return `rewritten ${sum('rewritten')} zeroed ${sum('zeroed')} encrypted ${sum('encrypted')} MiB`;
}

for (const how of ['in-place', 'replace'] as const) {
  t.test(
    `files encrypted (${how}) are noticed, and all are as before at the mark`,
    { skip: missing },
    async (t) => {
      const box = await startBox(t, how === 'replace' ? 160 : 320);
      const { target, disk } = box;
      const hashes = copyTree('/usr/share', `${disk}/tree`, 48 * MiB);
      const copied = await settle(box);
      t.match((await points(box)).signal, { lastClean: null }, 'a tree that is copied is no alarm');
      // Random content that was written just before would count as the beginning of it: for a while, and new
      // files for longer where nothing else comes in between.
      fs.writeFileSync(`${disk}/notes`, 'and so it went on, day by day\n'.repeat(500_000));
      await settle(box);
      const quietUntil = performance.now() + limits.signalOnsetQuietMs + 1000;
      await until('the copy to be over for a while', () => performance.now() > quietUntil);
      const { headLsn: before } = await target.status('box');
      encryptTree(`${disk}/tree`, hashes.keys(), how);
      await settle(box);
      await until('the alarm', async () => (await points(box)).signal?.state === 'suspected').catch(
        () => undefined,
      );
      const report = await points(box);
      t.comment(`${describe(report)}; copied up to lsn:${copied}, encrypted from lsn:${before}`);
      const [mark] = report.marks ?? [];
      t.ok(report.marks?.length === 1 && mark !== undefined, 'one event is marked once');
      if (mark === undefined) return;
      t.ok(mark.lsn >= copied, 'not long before it');
      t.match(mark.name, /^before-encryption-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      t.match(report.signal, { lastClean: { lsn: mark.lsn }, share: Number });
      t.same(await changedAt(t, box, `tag:${mark.name}`, hashes), [], 'every file is as it was');
      t.equal(target.logged('encryption-suspected'), 1);
      const { out } = await target.command(['points', 'box']);
      t.match(out, `last clean moment  LSN ${mark.lsn} at ${mark.time}`);
      const { detail } = await target.status('box');
      t.match(detail, /^encryption suspected (since|from) .*; last clean moment lsn:/);
    },
  );
}

/** Nothing was found, though there was enough to look at. */
async function expectQuiet(t: Test, box: Box, what: string): Promise<void> {
  await settle(box);
  const report = await points(box);
  t.comment(`${what}: ${describe(report)}`);
  t.match(report, { marks: [], signal: { state: 'normal', lastClean: null } }, what);
}

const archives = '/var/cache/apt/archives';

/** Packages of this host's cache, or else of what it has installed, about so large when unpacked. */
async function unpack(box: Box, to: string, bytes: number, skip: number): Promise<void> {
  fs.mkdirSync(to, { recursive: true });
  const debs = fs.existsSync(archives)
    ? fs.readdirSync(archives).filter((name) => name.endsWith('.deb'))
    : [];
  let left = bytes;
  for (const deb of debs.slice(skip)) {
    const file = path.join(archives, deb);
    const { size } = fs.statSync(file);
    if (size > 8 * MiB) continue;
    await runOk('dpkg', ['-x', file, to]);
    left -= size * 3;
    if (left <= 0) return;
  }
  copyTree('/usr/lib', to, left);
}

t.test('a database, packages, archives and deleted files give no alarm', { skip: missing }, async (t) => {
  const box = await startBox(t, 192);
  const { disk } = box;
  await unpack(box, `${disk}/packages`, 72 * MiB, 40);
  await expectQuiet(t, box, 'packages are unpacked');
  fs.rmSync(`${disk}/packages`, { recursive: true });
  await runOk('sync', ['-f', disk]);
  // From here on over content that was left on the disk.
  await unpack(box, `${disk}/packages`, 40 * MiB, 80);
  const sql = `PRAGMA journal_mode = WAL; CREATE TABLE e (id INTEGER PRIMARY KEY, body TEXT, key BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
      INSERT INTO e SELECT i, hex(randomblob(150)), randomblob(100) FROM n;
    UPDATE e SET key = randomblob(100) WHERE id % 2 = 0;
    UPDATE e SET body = body || 'more' WHERE id % 3 = 0;`;
  await runOk('sqlite3', [`${disk}/shop.db`, sql]);
  const archive = `tar -cf - -C /usr include | head -c 150M | gzip -1 > ${disk}/backup.tar.gz`;
  await runOk('sh', ['-c', archive]);
  await expectQuiet(t, box, 'packages, a database and a compressed backup over deleted files');
  fs.rmSync(`${disk}/packages`, { recursive: true });
  await runOk('sync', ['-f', disk]);
  await runOk('fstrim', [disk]);
  await expectQuiet(t, box, 'deleted files are trimmed');
});

t.test('PostgreSQL that loads and updates tables gives no alarm', { skip: postgresMissing }, async (t) => {
  const box = await startBox(t, 384);
  const data = `${box.disk}/data`;
  fs.chmodSync(box.target.directory, 0o711); // PostgreSQL has to get to its directory
  await initDatabase(data);
  const server = await startServer(t, data);
  const body = `md5(n::text) || repeat('x', 100)`;
  await query(data, `CREATE TABLE e AS SELECT n AS id, ${body} AS body FROM generate_series(1, 150000) n`);
  await query(data, 'CHECKPOINT');
  await expectQuiet(t, box, 'a table is loaded');
  await query(data, `UPDATE e SET body = sha256(body::bytea)::text WHERE id % 2 = 0`);
  await query(data, 'VACUUM FULL e');
  await query(data, 'CHECKPOINT');
  await server.stop();
  await expectQuiet(t, box, 'half of it is updated, and it is written anew');
});

t.test('a disk that was encrypted from the beginning gives no alarm', { skip: missing }, async (t) => {
  const target = await MasterTarget.start(t, eager);
  const socket = await target.ingest('box', [`luks=64M`]);
  const client = await NbdClient.open({ path: socket }, 'luks');
  t.teardown(() => client.socket.destroy());
  const box: Box = { target, socket, disk: '/', unmount: async () => undefined };
  for (const round of [1, 2]) {
    for (let at = 0; at < 64 * MiB; at += MiB) await client.ask(Command.write, at, MiB, randomBytes(MiB));
    await client.ask(Command.flush, 0, 0);
    await expectQuiet(t, box, `random content, round ${round}`);
  }
});

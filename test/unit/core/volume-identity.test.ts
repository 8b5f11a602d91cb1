// Checks each case of a volume that is new, known, missing, empty, another's or damaged.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { ensureVolume, type VolumeIdentity } from '../../../core/volume-identity.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

interface Place {
  data: string;
  directory: string;
  ensure: () => VolumeIdentity;
}

function place(t: Test, kind: 'retention' | 'replicas' = 'retention'): Place {
  const root = temporaryDirectory(t);
  const [data, directory] = [path.join(root, 'data'), path.join(root, 'mnt', 'volume')];
  fs.mkdirSync(data);
  return { data, directory, ensure: () => ensureVolume({ data, directory, kind }) };
}

const identityIn = (directory: string): string => path.join(directory, 'homeward-volume.json');

t.test('an absent directory becomes a volume, and is the same volume from then on', (t) => {
  const { directory, ensure } = place(t);
  const identity = ensure();
  t.match(identity, { kind: 'retention', id: /^[0-9a-f-]{36}$/, created: /^\d{4}-.*Z$/ });
  t.same(ensure(), identity);
  t.same(fs.readdirSync(directory), ['homeward-volume.json']);
  t.end();
});

t.test('a directory that is empty, new on ext4, or left half made by a crash becomes a volume', (t) => {
  for (const names of [[], ['lost+found'], ['homeward-volume.json.new']]) {
    const { directory, ensure } = place(t);
    fs.mkdirSync(directory, { recursive: true });
    for (const name of names) fs.writeFileSync(path.join(directory, name), '');
    t.equal(ensure().kind, 'retention');
  }
  t.end();
});

t.test('a directory with anything else in it is refused and left as it is', (t) => {
  const { data, directory, ensure } = place(t);
  fs.mkdirSync(directory, { recursive: true });
  for (const name of ['a', 'b', 'c', 'd']) fs.writeFileSync(path.join(directory, name), '');
  const message = `${directory} cannot become the retention volume: it holds a, b, c, …`;
  t.throws(ensure, { code: 'not-a-volume', message });
  t.same(fs.readdirSync(directory), ['a', 'b', 'c', 'd']);
  t.same(fs.readdirSync(data), []);
  t.end();
});

t.test('a file where the directory should be is refused', (t) => {
  const { directory, ensure } = place(t);
  fs.mkdirSync(path.dirname(directory), { recursive: true });
  fs.writeFileSync(directory, '');
  t.throws(ensure, { code: 'not-a-volume', message: /is not a directory/ });
  t.end();
});

t.test('a volume of that kind is adopted by a master target that knows none', (t) => {
  const first = place(t);
  const identity = first.ensure();
  fs.writeFileSync(path.join(first.directory, 'machine'), 'its content');
  const second = place(t);
  const adopted = ensureVolume({ data: second.data, directory: first.directory, kind: 'retention' });
  t.same(adopted, identity);
  t.throws(second.ensure, { code: 'volume-not-mounted' }, 'and is the one it insists on afterwards');
  t.end();
});

t.test('a volume of the other kind is refused', (t) => {
  const { data, directory, ensure } = place(t);
  const { id } = ensure();
  t.throws(() => ensureVolume({ data, directory, kind: 'replicas' }), {
    code: 'not-a-volume',
    message: `${directory} cannot be the replicas volume: it is retention volume ${id}`,
  });
  t.end();
});

t.test('a known volume that is gone is refused, and nothing is created in its place', (t) => {
  const { directory, ensure } = place(t);
  const { id } = ensure();
  fs.renameSync(directory, directory + '.away');
  t.throws(ensure, {
    code: 'volume-not-mounted',
    message:
      `the retention volume is not mounted: retention volume ${id} is missing at ${directory}, ` +
      'which does not exist',
  });
  t.notOk(fs.existsSync(directory));
  fs.mkdirSync(directory);
  t.throws(ensure, { code: 'volume-not-mounted', message: /which is empty$/ });
  t.same(fs.readdirSync(directory), []);
  fs.mkdirSync(path.join(directory, 'lost+found'));
  t.throws(ensure, { code: 'volume-not-mounted', message: /which carries no homeward-volume\.json$/ });
  fs.rmSync(directory, { recursive: true });
  fs.renameSync(directory + '.away', directory);
  t.equal(ensure().id, id, 'mounted again it is accepted');
  t.end();
});

t.test('another volume in the place of the known one is refused, naming both', (t) => {
  const first = place(t);
  const second = place(t);
  const [known, other] = [first.ensure(), second.ensure()];
  t.throws(() => ensureVolume({ ...first, directory: second.directory, kind: 'retention' }), {
    code: 'volume-not-mounted',
    message:
      `the retention volume is not mounted: retention volume ${known.id}, ` +
      `last seen at ${first.directory}, is missing at ${second.directory}, ` +
      `which is retention volume ${other.id}`,
  });
  t.end();
});

t.test('the known volume at another path is accepted, and remembered there', (t) => {
  const { data, directory, ensure } = place(t);
  const identity = ensure();
  const moved = directory + '-moved';
  fs.renameSync(directory, moved);
  t.same(ensureVolume({ data, directory: moved, kind: 'retention' }), identity);
  t.throws(ensure, { message: new RegExp(`last seen at ${moved}`) });
  t.end();
});

t.test('both kinds are recorded beside each other', (t) => {
  const { data, directory, ensure } = place(t);
  const retention = ensure();
  const replicas = ensureVolume({ data, directory: `${directory}-replicas`, kind: 'replicas' });
  t.not(retention.id, replicas.id);
  t.same(ensure(), retention);
  t.same(ensureVolume({ data, directory: `${directory}-replicas`, kind: 'replicas' }), replicas);
  t.end();
});

t.test('a damaged identity or record is told apart from a missing one', (t) => {
  const { data, directory, ensure } = place(t);
  ensure();
  for (const file of [identityIn(directory), path.join(data, 'volumes.json')]) {
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, text.replace('"kind": "retention"', '"kind": "replicas!"'));
    t.throws(ensure, { code: 'damaged', message: new RegExp(`^${file}`) });
    fs.writeFileSync(file, text);
  }
  ensure();
  t.end();
});

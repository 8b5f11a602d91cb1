// `bom.json`: every package in a release with version, licence and hash, as CycloneDX 1.6 has it.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Build } from './build.ts';
import { runtimePackage } from './production-modules.ts';
import { libatomicVersion } from './runtime.ts';

interface LockedPackage {
  version: string;
  integrity?: string;
  license?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}
type Locked = Record<string, LockedPackage>;

export interface Component {
  type: 'application' | 'library' | 'platform';
  'bom-ref': string;
  group?: string;
  name: string;
  version: string;
  licenses?: ({ license: { id: string } } | { expression: string })[];
  hashes?: { alg: 'SHA-512'; content: string }[];
  purl?: string;
}

/** `modules` is what npm installed from the lock file, before anything is taken out of it. */
export function billOfMaterials(build: Build, modules: string): string {
  const locked = readLock(build.root);
  const installed = Object.keys(locked)
    .filter((place) => place !== '' && fs.existsSync(path.join(modules, '..', place, 'package.json')))
    .toSorted();
  const ours = componentOf(build, locked['']);
  // One package may lie in several places; the list has it once.
  const byRef = new Map<string, Component>();
  for (const place of installed) {
    const component = npmComponent(place, required(locked, place));
    byRef.set(component['bom-ref'], component);
  }
  const libatomic = libatomicComponent();
  const components = [...byRef.values(), libatomic].toSorted((a, b) =>
    a['bom-ref'] < b['bom-ref'] ? -1 : 1,
  );
  const dependencies = dependenciesOf({ locked, installed, ours, libatomic });
  const body = {
    version: 1,
    metadata: { timestamp: new Date(build.epoch * 1000).toISOString(), component: ours },
    components,
    dependencies,
  };
  const head = { $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json', bomFormat: 'CycloneDX' };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(body))}`;
  return `${JSON.stringify({ ...head, specVersion: '1.6', serialNumber, ...body }, null, 2)}\n`;
}

function readLock(root: string): Locked {
  const text = fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8');
  return (JSON.parse(text) as { packages: Locked }).packages;
}

function required(locked: Locked, place: string): LockedPackage {
  const found = locked[place];
  if (found === undefined) throw new Error(`${place} is not in the lock file`);
  return found;
}

function nameOf(place: string): string {
  return place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

function refOf(place: string, { version }: LockedPackage): string {
  // A purl: the @ of a scope is spelled %40.
  return `pkg:npm/${nameOf(place).replace(/^@/, '%40')}@${version}`;
}

function componentOf({ version }: Build, manifest: LockedPackage | undefined): Component {
  const id = manifest?.license ?? 'Apache-2.0';
  const ref = `pkg:generic/homeward@${version}`;
  const licenses = [{ license: { id } }];
  return { type: 'application', 'bom-ref': ref, name: 'homeward', version, licenses, purl: ref };
}

function npmComponent(place: string, locked: LockedPackage): Component {
  const { version, integrity = '', license } = locked;
  const [scope, scoped] = nameOf(place).split('/');
  if (license === undefined) throw new Error(`the lock file has no licence of ${place}`);
  const hash = /^sha512-(\S+)$/.exec(integrity)?.[1];
  if (hash === undefined) throw new Error(`the lock file has no SHA-512 of ${place}`);
  return {
    type: nameOf(place) === runtimePackage ? 'platform' : 'library',
    'bom-ref': refOf(place, locked),
    ...(scoped === undefined ? {} : { group: scope }),
    name: scoped ?? scope ?? '',
    version,
    licenses: [/[\s(]/.test(license) ? { expression: license } : { license: { id: license } }],
    hashes: [{ alg: 'SHA-512', content: Buffer.from(hash, 'base64').toString('hex') }],
    purl: refOf(place, locked),
  };
}

function libatomicComponent(): Component {
  const version = libatomicVersion();
  const ref = `pkg:deb/debian/libatomic1@${version}?arch=amd64`;
  const licenses = [{ expression: 'GPL-3.0-or-later WITH GCC-exception-3.1' }];
  return { type: 'library', 'bom-ref': ref, name: 'libatomic1', version, licenses, purl: ref };
}

interface Graph {
  locked: Locked;
  installed: readonly string[];
  ours: Component;
  libatomic: Component;
}

function dependenciesOf({
  locked,
  installed,
  ours,
  libatomic,
}: Graph): { ref: string; dependsOn: string[] }[] {
  const there = new Set(installed);
  const edges = new Map<string, Set<string>>();
  const add = (ref: string, place: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = required(locked, place);
    const found = Object.keys({ ...dependencies, ...optionalDependencies })
      .map((name) => resolve(there, place, name))
      .filter((target) => target !== null)
      .map((target) => refOf(target, required(locked, target)));
    edges.set(ref, new Set([...(edges.get(ref) ?? []), ...found]));
  };
  add(ours['bom-ref'], '');
  for (const place of installed) add(refOf(place, required(locked, place)), place);
  for (const [ref, targets] of edges)
    if (ref.includes(`/${runtimePackage}@`)) targets.add(libatomic['bom-ref']);
  edges.set(libatomic['bom-ref'], new Set());
  return [...edges]
    .map(([ref, targets]) => ({ ref, dependsOn: [...targets].toSorted() }))
    .toSorted((a, b) => (a.ref < b.ref ? -1 : 1));
}

/** As Node looks for it: beside, then further out; null for what is not installed, as for other platforms. */
function resolve(there: ReadonlySet<string>, from: string, name: string): string | null {
  for (let place = from; ; place = place.slice(0, Math.max(0, place.lastIndexOf('/node_modules/')))) {
    const candidate = `${place === '' ? '' : `${place}/`}node_modules/${name}`;
    if (there.has(candidate)) return candidate;
    if (place === '') return null;
  }
}

/** The same content has the same number: a UUID of version 8, made of a hash. */
function uuidOf(text: string): string {
  const hex = crypto.hash('sha256', text).slice(0, 32).split('');
  hex[12] = '8';
  hex[16] = '89ab'[parseInt(hex[16] ?? '0', 16) % 4] ?? '8';
  const digits = hex.join('');
  return [0, 8, 12, 16, 20].map((at, index, all) => digits.slice(at, all[index + 1] ?? 32)).join('-');
}

// A release tree of the sources alone, with a stand-in for Node: what packages do is seen without 130 MB.
import fs from 'node:fs';
import path from 'node:path';
import type { Build } from '../../scripts/packaging/build.ts';
import { writeReleaseTree } from '../../scripts/packaging/release-tree.ts';
import { root } from './source-files.ts';

/** Seconds since 1970: any will do. */
const epoch = 1_700_000_000;

export interface SmallRelease {
  build: Build;
  release: string;
}

/** In `directory`, where packages of it can be written to. */
export function smallRelease(directory: string, version: string): SmallRelease {
  const build = { root, version, epoch, revision: 'test', out: directory };
  const release = path.join(directory, `staged-${version}/release`);
  writeReleaseTree(build, release);
  fs.mkdirSync(path.join(release, 'runtime/bin'), { recursive: true });
  fs.writeFileSync(path.join(release, 'runtime/bin/node'), '#!/bin/sh\necho "node of a test: $*"\n', {
    mode: 0o755,
  });
  fs.writeFileSync(path.join(release, `only-${version}`), '');
  fs.writeFileSync(path.join(release, '../bom.json'), '{}\n');
  return { build, release };
}

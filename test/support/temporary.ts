// A directory of its own for a test, gone when the test ends.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';

/** `t` is a test, or whatever else knows its own end. */
export function temporaryDirectory(t: Pick<Test, 'teardown'>): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'homeward-test-'));
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

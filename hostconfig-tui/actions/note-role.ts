// The role of an installation in the file that other tools look into: a package leaves it open.
import fs from 'node:fs';
import path from 'node:path';
import { writeAtomicFile } from '../../core/atomic-file.ts';
import { errnoOf } from '../../core/errors.ts';

/** `config` is that of the installation, or of none. What cannot be read or written there stays as it is. */
export function noteRole(config: string, role: string, file = '/usr/local/.vx_version'): void {
  try {
    const text = fs.readFileSync(file, 'utf8');
    const directory = /^INSTALL_DIR=(.+)$/m.exec(text)?.[1] ?? '';
    if (path.join(directory, 'Vx/etc/drscout.conf') !== config) return;
    const changed = text.replace(/^ROLE=.*$/m, `ROLE=${role}`);
    if (changed !== text) writeAtomicFile(file, changed, 0o644);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
  }
}

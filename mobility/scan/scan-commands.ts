// The operator's commands around a scan: one makes what is read, the other takes it away again in any case.
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { resultOf, runBounded } from '../tags/custom-script.ts';

export interface ScanCommandsOptions {
  before: string | null;
  after: string | null;
  /** A file is there from before the first command until behind the second. */
  directory: string;
  log: Log;
  limitMs?: number;
}

/**
 * Order: 1 the mark, durably · 2 `before` · 3 reading · 4 `after` · 5 the mark goes. A service that ended
 * in between runs `after` when it begins the next time.
 */
export class ScanCommands {
  readonly #options: ScanCommandsOptions;
  readonly #mark: string;

  constructor(options: ScanCommandsOptions) {
    this.#options = options;
    this.#mark = path.join(options.directory, 'after-due');
  }

  /** There are any: what they make can be trusted to be of one moment. */
  get given(): boolean {
    return this.#options.before !== null || this.#options.after !== null;
  }

  /** Throws 'script-failed'; `end` is due then, too. */
  async begin(signal?: AbortSignal): Promise<void> {
    const { before, directory } = this.#options;
    if (!this.given) return;
    if (fs.existsSync(this.#mark)) await this.end();
    fs.closeSync(fs.openSync(this.#mark, 'w'));
    syncDirectorySync(directory);
    if (before === null) return;
    const detail = await this.#run('before', before, signal);
    if (detail === null) return;
    throw new HomewardError('script-failed', `the command before the scan failed: ${detail}`, {
      hint: 'Its output is in the log of the mobility service (scan-command).',
    });
  }

  /** False when the command failed, which is logged. Never rejects. */
  async end(): Promise<boolean> {
    const { after, log } = this.#options;
    if (!this.given) return true;
    // Without a signal: what was made has to go, also when the service stops.
    const detail = after === null ? null : await this.#run('after', after);
    if (detail !== null) log.error('scan-command-failed', { step: 'after', detail });
    fs.rmSync(this.#mark, { force: true });
    return detail === null;
  }

  /** What went wrong, or null. */
  async #run(step: 'before' | 'after', command: string, signal?: AbortSignal): Promise<string | null> {
    const { log, limitMs = limits.scanCommandMs } = this.#options;
    const line = (text: string): void => log.info('scan-command', { step, line: text });
    const result = resultOf(
      await runBounded({ program: 'sh', args: ['-c', command], limitMs, line }, signal),
    );
    return result.state === 'done' ? null : result.detail;
  }
}

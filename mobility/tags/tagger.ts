// Takes tags: the next number in the sequence of writes, with the operator's script around it where that is
// wanted.
import fs from 'node:fs';
import { HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Consistency, TagNote } from '../../core/record/notes.ts';
import type { Recorder } from '../outbox/recorder.ts';
import { endScript, runScript, type ScriptResult, type ScriptStep } from './custom-script.ts';

export interface TaggerOptions {
  recorder: Recorder;
  /** Why a tag would be no point just now, or null. */
  refusal(): HomewardError | null;
  /** The operator's script, or null. */
  script: string | null;
  /** Instead of `limits.customScriptMs`. */
  scriptLimitMs?: number;
  /** There from before the first step until behind the last: what a killed service leaves is found by it. */
  begunFile?: string;
  log: Log;
}

export interface TakenTag extends TagNote {
  lsn: number;
  time: number;
}

interface Waiter {
  reached(): boolean;
  done(): void;
}

/** One tag with a script at a time; the second waits for the first to have run its last step. */
export class Tagger {
  readonly #options: TaggerOptions;
  readonly #stopping = new AbortController();
  readonly #waiters = new Set<Waiter>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: TaggerOptions) {
    this.#options = options;
    options.recorder.onProgress(() => {
      for (const waiter of this.#waiters) if (waiter.reached()) waiter.done();
    });
    if (options.begunFile !== undefined && fs.existsSync(options.begunFile))
      this.#turn = this.#finishOld(options.begunFile);
  }

  get hasScript(): boolean {
    return this.#options.script !== null;
  }

  /** Numbers a tag at once. Throws what `refusal` says. */
  take(name: string, consistency: Consistency): TakenTag {
    const { recorder, refusal, log } = this.#options;
    const refused = refusal();
    if (refused !== null) throw refused;
    const taken = recorder.tag({ name, consistency });
    if (taken === null) throw new HomewardError('conflict', 'writes are not recorded just now');
    log.info('tagged', { name, consistency, lsn: taken.lsn });
    return { ...taken, name, consistency };
  }

  /**
   * With the script before and after it. Crash-consistent when the script says that there is nothing to do;
   * throws 'script-failed' when its first step fails. Its last step runs whatever happened.
   */
  takeWithScript(name: string): Promise<TakenTag> {
    const taken = this.#turn.then(() => this.#takeWithScript(name));
    this.#turn = taken.catch(() => undefined);
    return taken;
  }

  async #takeWithScript(name: string): Promise<TakenTag> {
    const { refusal } = this.#options;
    const { signal } = this.#stopping;
    const refused = refusal();
    if (refused !== null) throw refused;
    if (signal.aborted) throw new HomewardError('interrupted', 'the service stops');
    if (this.#options.begunFile !== undefined && this.hasScript)
      fs.writeFileSync(this.#options.begunFile, '');
    try {
      const result = await this.#run('--pre', signal);
      if (result.state === 'failed')
        throw new HomewardError('script-failed', `the script's step --pre failed: ${result.detail}`);
      if (signal.aborted) throw new HomewardError('interrupted', 'the service stops');
      return this.take(name, result.state === 'done' ? 'application' : 'crash');
    } finally {
      await this.#finish();
    }
  }

  /** A service that was killed has left a first step, which may go on. */
  async #finishOld(begunFile: string): Promise<void> {
    const { script, log } = this.#options;
    log.warn('custom-script-unfinished', { step: '--post' });
    if (script !== null) endScript(script, Number(fs.readFileSync(begunFile, 'utf8')));
    await this.#finish();
  }

  /** Without the signal: what the first step froze has to go on. */
  async #finish(): Promise<void> {
    const { begunFile, log } = this.#options;
    const result = await this.#run('--post');
    if (result.state === 'failed')
      log.error('custom-script-failed', { step: '--post', detail: result.detail });
    if (begunFile !== undefined) fs.rmSync(begunFile, { force: true });
  }

  async #run(step: ScriptStep, signal?: AbortSignal): Promise<ScriptResult> {
    const { script, log, scriptLimitMs, begunFile } = this.#options;
    if (script === null) return { state: 'nothing' };
    const onBegun = (pid: number): void => {
      if (step === '--pre' && begunFile !== undefined) fs.writeFileSync(begunFile, String(pid));
    };
    const limit = scriptLimitMs === undefined ? {} : { limitMs: scriptLimitMs };
    return runScript({ path: script, log, onBegun, ...limit }, step, signal);
  }

  /** Whether a position of the recorder reaches `lsn` within the time. */
  reached(position: 'spooledLsn' | 'targetLsn', lsn: number, withinMs: number): Promise<boolean> {
    const { recorder } = this.#options;
    const reached = (): boolean => recorder[position] >= lsn;
    if (reached()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter = {
        reached,
        done: (): void => {
          this.#waiters.delete(waiter);
          clearTimeout(timer);
          resolve(reached());
        },
      };
      const timer = setTimeout(waiter.done, withinMs);
      this.#waiters.add(waiter);
    });
  }

  /** Takes no more; resolves when a last step that is due has run. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#turn;
    for (const waiter of this.#waiters) waiter.done();
  }
}

// The Host Config Interface on a terminal: carries keys to the model, frames to the screen, effects to the
// actions.
import { toHomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { applyChanges, applyServer, checkPlaces } from './actions/apply.ts';
import { readSettings } from './actions/config-file.ts';
import { findFault } from './actions/find-fault.ts';
import { followLog, type LogTail } from './actions/log-tail.ts';
import type { Places } from './actions/places.ts';
import { readStatus } from './actions/read-status.ts';
import { volumeRows } from './actions/volume-rows.ts';
import { faultOf } from './model/fault.ts';
import { drawFrame } from './model/frame.ts';
import {
  newModel,
  type Effect,
  type Event,
  type HostSettings,
  type Model,
  type ServerWanted,
} from './model/model.ts';
import { readServer } from './model/server-address.ts';
import { update } from './model/update.ts';
import { listenForKeys } from './view/keyboard.ts';
import { Screen } from './view/screen.ts';
import { isUtf8, lookOf, sizeOf } from './view/terminal.ts';
import type { ReadStream, WriteStream } from 'node:tty';

export interface ScreenOrder {
  places: Places;
  name: string | null;
  /** What is offered where nothing is set. */
  suggested: { address: string | null; port: string | null };
  input: ReadStream;
  output: WriteStream;
  environment: Readonly<Record<string, string | undefined>>;
}

/** The Host Config Interface, until somebody quits. */
export class HostConfigScreen {
  readonly #order: ScreenOrder;
  readonly #screen: Screen;
  readonly #unlisten: () => void;
  readonly #polling: NodeJS.Timeout;
  readonly #ended = Promise.withResolvers<number>();
  #model: Model;
  #running: AbortController | null = null;
  #tail: LogTail | null = null;
  #isDrawn = true;
  #isAsking = false;

  private constructor(order: ScreenOrder, model: Model) {
    this.#order = order;
    this.#model = model;
    const { input, output, environment } = order;
    this.#screen = new Screen({
      ...{ input, output, look: lookOf(environment), utf8: isUtf8(environment) },
      onResize: (size) => this.#happened({ kind: 'resize', size }),
    });
    this.#unlisten = listenForKeys(input, (key) => this.#happened({ kind: 'key', key }));
    this.#polling = setInterval(() => void this.#poll(), limits.screenStatusMs);
    this.#draw();
  }

  /** Everything is read before the terminal is touched, so that what is wrong is said in the ordinary way. */
  static async open(order: ScreenOrder): Promise<HostConfigScreen> {
    const settings = readSettings(order.places.config);
    const status = await readStatus(order.places, settings);
    const size = sizeOf(order.output.columns, order.output.rows);
    return new HostConfigScreen(order, newModel(size, withSuggestions(order.suggested, settings), status));
  }

  /** Resolves with the exit status. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  /** The terminal as it was; at any time, and more than once. */
  close(): void {
    clearInterval(this.#polling);
    this.#running?.abort();
    this.#tail?.close();
    this.#unlisten();
    this.#screen.close();
  }

  #happened(event: Event): void {
    const { model, effects } = update(this.#model, event);
    this.#model = model;
    for (const effect of effects) this.#perform(effect);
    if (!this.#isDrawn) return;
    // Once for all that comes in one go.
    this.#isDrawn = false;
    setImmediate(() => this.#draw());
  }

  #draw(): void {
    this.#isDrawn = true;
    this.#screen.draw(drawFrame(this.#model, lookOf(this.#order.environment)));
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'register':
        this.#run((signal) => this.#register(effect.server, signal));
        return;
      case 'save-places':
        this.#run(async () => {
          await checkPlaces(this.#order.places, effect.places);
          await this.#save(effect.changes, ['Saved.']);
        });
        return;
      case 'save':
        this.#run(() => this.#save(effect.changes, effect.says));
        return;
      case 'cancel':
        this.#running?.abort();
        return;
      case 'look-for-volumes':
        void this.#lookForVolumes();
        return;
      case 'follow-log':
        this.#follow(effect.on);
        return;
      case 'redraw':
        this.#screen.redraw(drawFrame(this.#model, lookOf(this.#order.environment)));
        return;
      case 'quit':
        this.#ended.resolve(effect.status);
    }
  }

  /** One thing at a time; a second goes on counting while it lasts. */
  #run(work: (signal: AbortSignal) => Promise<void>): void {
    const running = new AbortController();
    this.#running = running;
    const ticking = setInterval(() => this.#happened({ kind: 'tick' }), 1000);
    work(running.signal)
      .catch((thrown: unknown) => {
        const error = toHomewardError(thrown);
        if (error.code === 'interrupted') this.#happened({ kind: 'stopped' });
        else this.#happened({ kind: 'failed', fault: faultOf(error, null) });
      })
      .finally(() => {
        clearInterval(ticking);
        if (this.#running === running) this.#running = null;
      });
  }

  async #register(server: ServerWanted, signal: AbortSignal): Promise<void> {
    const { places, name } = this.#order;
    const onProgress = (text: string): void => this.#happened({ kind: 'progress', text });
    const { host, port, passphrase } = server;
    try {
      const order = { server: { host, port }, passphrase, name, waitMs: null, signal, onProgress };
      await this.#saved((await applyServer(places, order)).lines);
    } catch (thrown) {
      if (toHomewardError(thrown).code === 'interrupted') throw thrown;
      onProgress('Looking what is wrong');
      this.#happened({ kind: 'failed', fault: await findFault(thrown, { host, port }, signal) });
    }
  }

  async #save(changes: Extract<Effect, { kind: 'save' }>['changes'], says: readonly string[]): Promise<void> {
    this.#happened({ kind: 'progress', text: 'Saving, and restarting the service' });
    await this.#saved((await applyChanges(this.#order.places, changes, says)).lines);
  }

  async #saved(lines: readonly string[]): Promise<void> {
    const settings = readSettings(this.#order.places.config);
    const status = await readStatus(this.#order.places, settings);
    this.#happened({ kind: 'saved', lines, settings, status });
    // The log may go elsewhere now.
    if (this.#tail !== null) this.#follow(true);
  }

  async #lookForVolumes(): Promise<void> {
    try {
      const { judgeVolumes } = await import('../agent/prerequisites/client.ts');
      const volumes = await judgeVolumes(this.#order.places.data);
      this.#happened({ kind: 'volumes', rows: volumeRows(volumes) });
    } catch (thrown) {
      this.#happened({ kind: 'failed', fault: faultOf(toHomewardError(thrown), null) });
    }
  }

  #follow(on: boolean): void {
    this.#tail?.close();
    this.#tail = null;
    if (!on) return;
    const { logFile } = this.#model.settings;
    const source = { file: logFile, unit: this.#order.places.unit };
    this.#tail = followLog(source, (lines) => this.#happened({ kind: 'log', lines }));
  }

  async #poll(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const settings = readSettings(this.#order.places.config);
      const status = await readStatus(this.#order.places, settings);
      const shown = withSuggestions(this.#order.suggested, settings);
      this.#happened({ kind: 'status', status, settings: shown });
    } catch {
      // What cannot be read now was read before; the next look may see it again.
    } finally {
      this.#isAsking = false;
    }
  }
}

/** With what is offered where nothing is set. */
function withSuggestions({ address, port }: ScreenOrder['suggested'], settings: HostSettings): HostSettings {
  if (address === null || settings.configServerAddress !== '') return settings;
  const server = readServer(address, port ?? String(settings.configServerPort));
  if ('problem' in server) return settings;
  return { ...settings, configServerAddress: server.host, configServerPort: server.port };
}

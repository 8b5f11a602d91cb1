// A model that is typed into, as a test wants it: keys in, model and effects out.
import type { KeyName } from '../../../hostconfig-tui/model/key.ts';
import {
  newModel,
  type Effect,
  type Event,
  type HostSettings,
  type Model,
  type Status,
} from '../../../hostconfig-tui/model/model.ts';
import { drawFrame } from '../../../hostconfig-tui/model/frame.ts';
import type { Look } from '../../../hostconfig-tui/model/look.ts';
import { textOfRow } from '../../../hostconfig-tui/model/row.ts';
import { update } from '../../../hostconfig-tui/model/update.ts';

export const settings: HostSettings = {
  hostId: '',
  role: 'MasterTarget',
  configServerAddress: '',
  configServerPort: 443,
  useHttps: true,
  retentionVolume: '',
  replicaDirectory: '',
  cacheDirectory: '',
  natHostName: '',
  natIpAddress: '',
  logLevel: 'info',
  logFile: '',
};
export const unregistered: Status = {
  enrolled: false,
  registered: null,
  contactSeconds: null,
  service: 'stopped',
};

const ascii: Look = { lines: false, attributes: false, colour: false };

export class Typed {
  model: Model;
  effects: Effect[] = [];

  constructor(given: Partial<HostSettings> = {}, status: Partial<Status> = {}) {
    const size = { columns: 80, rows: 24 };
    this.model = newModel(size, { ...settings, ...given }, { ...unregistered, ...status });
  }

  happen(event: Event): this {
    const { model, effects } = update(this.model, event);
    this.model = model;
    this.effects.push(...effects);
    return this;
  }

  /** Named keys one after the other. */
  press(...names: KeyName[]): this {
    for (const name of names) this.happen({ kind: 'key', key: { kind: 'named', name } });
    return this;
  }

  type(text: string): this {
    for (const each of Array.from(text)) this.happen({ kind: 'key', key: { kind: 'text', text: each } });
    return this;
  }

  paste(text: string): this {
    return this.happen({ kind: 'key', key: { kind: 'paste', text } });
  }

  /** What was asked for since the last time. */
  took(): Effect[] {
    return this.effects.splice(0);
  }

  get screen(): string {
    const rows = drawFrame(this.model, ascii).rows.map((row) => textOfRow(row).trimEnd());
    return `${rows.join('\n').trimEnd()}\n`;
  }
  get cursor(): { row: number; column: number } | null {
    return drawFrame(this.model, ascii).cursor;
  }
}

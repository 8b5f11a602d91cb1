// What was found damaged in a machine's files stays known when the daemon starts again.
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../core/atomic-file.ts';
import { toHomewardError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { DamagedPlace } from './journal/catalogue.ts';
import type { Machine } from './machine.ts';

const format = 'homeward-damage';
const schema = z.object({
  places: z.array(
    z.object({
      file: z.string(),
      fromLsn: z.number(),
      toLsn: z.number(),
      disk: z.string().nullable(),
      start: z.number().nullable(),
      end: z.number().nullable(),
    }),
  ),
});

/** The list as it was saved last; what changes it makes it another one or a longer one. */
interface Saved {
  places: readonly DamagedPlace[];
  count: number;
}

export class KnownDamage {
  readonly #log: Log;
  readonly #saved = new WeakMap<Machine, Saved>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Once, before anybody asks how the machine is. What is no file any more is left to those who miss it. */
  load(machine: Machine): void {
    const { paths, journal, name } = machine;
    const { catalogue } = journal;
    try {
      const body = readSealedJson(paths.damage, format);
      for (const place of body === null ? [] : schema.parse(body).places) {
        const file = path.resolve(paths.directory, place.file);
        if (fs.existsSync(file)) catalogue.noteDamage({ ...place, file });
      }
      this.#saved.set(machine, { places: catalogue.damaged, count: catalogue.damaged.length });
    } catch (error) {
      // `verify` finds it all again; what cannot be read is replaced at the next look.
      this.#log.warn('damage-not-read', { machine: name, error: toHomewardError(error) });
    }
  }

  /** Writes the list when it has changed. */
  save(machine: Machine): void {
    const { paths, journal, name } = machine;
    const places = journal.catalogue.damaged;
    const saved = this.#saved.get(machine);
    if (saved?.places === places && saved.count === places.length) return;
    this.#saved.set(machine, { places, count: places.length });
    try {
      // Relative, so that a copy of the directory has it as well.
      const inside = places.map((place) => ({ ...place, file: path.relative(paths.directory, place.file) }));
      if (places.length > 0) writeSealedJson(paths.damage, format, { places: inside });
      else fs.rmSync(paths.damage, { force: true });
    } catch (error) {
      this.#log.warn('damage-not-written', { machine: name, error: toHomewardError(error) });
    }
  }
}

// The tempting mistakes of a cursor, each made by putting a wrong part in the place of a right one.
import type { Journal } from '../../agent/journal/journal.ts';
import type { UndoLayers, UndoLog } from '../../agent/replica/undo/undo-log.ts';
import type { Files } from '../../core/files/files.ts';
import { parseUndoFileName } from '../../agent/replica/undo/undo-names.ts';
import { undoDirectory, type TimelineWorld } from '../support/timeline-world.ts';
import type { ModelMistake } from './timeline-actions.ts';

/** The same object with some members put in the place of its own. */
function withParts<T extends object>(target: T, change: Partial<T>): T {
  return new Proxy(target, {
    get(_target, name): unknown {
      if (name in change) return change[name as keyof T];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** What the undo of the open step has is taken from the replica. */
function withoutOpenStep(undo: UndoLog, world: TimelineWorld): UndoLog {
  return withParts(undo, {
    layersFrom(base: number): UndoLayers {
      const layers = undo.layersFrom(base);
      const open = undo.open(world.cursor.lsn);
      const last = layers.segments.at(-1);
      if (open === null || last === undefined) return layers;
      const isOpen = (source: UndoLayers['undo'][number]): boolean =>
        source.kind === 'undo-scan'
          ? source.ordinal === last.ordinal
          : source.kind === 'file' && source.ordinals.includes(last.ordinal);
      return { ...layers, undo: layers.undo.filter((source) => !isOpen(source)) };
    },
  });
}

/** Redo goes up to somewhere inside a step. */
const pruningFurther = (journal: Journal): Journal =>
  withParts(journal, { prune: (boundary: number) => journal.prune(boundary + 3) });

/** Syncs of replicas say that they are done, and are not. */
function withoutReplicaSync({ io, replicas }: TimelineWorld): Partial<Files> {
  return { sync: (fd) => (replicas.includes(fd) ? Promise.resolve() : io.files.sync(fd)) };
}

/** Readers hear of a step when it has ended. */
function lateCounter(): ModelMistake {
  const late = new Map<SharedArrayBuffer, SharedArrayBuffer>();
  return {
    content(content, world) {
      if (content.live === null) return content;
      const { counter } = content.live;
      const shown = late.get(counter) ?? new SharedArrayBuffer(4);
      late.set(counter, shown);
      const now = new Int32Array(counter);
      if (world.history.counter % 2 === 0) new Int32Array(shown)[0] = now[0] ?? 0;
      return { ...content, live: { ...content.live, counter: shown } };
    },
  };
}

/** The cursor goes back when the step is rolled back, not before. */
function lateCursor(): ModelMistake {
  return {
    moveCursor(change, world) {
      const isBack = change.lsn !== undefined && change.lsn < world.cursor.lsn;
      if (!isBack) world.moveCursor(change);
    },
  };
}

/** A start makes the undo of the open step anew from the replica as it is. */
const undoMadeAnew: ModelMistake = {
  beforeOpen({ files, cursor }) {
    for (const name of files.list(undoDirectory))
      if (parseUndoFileName(name)?.from === cursor.lsn) files.unlink(`${undoDirectory}/${name}`);
  },
};

export const mistakes: Record<string, () => ModelMistake> = {
  'a view leaves out the undo of the open step': () => ({ undo: withoutOpenStep }),
  'redo goes up to somewhere inside a step': () => ({ journal: pruningFurther }),
  'redo goes before the steps are split at kept points': () => ({ policy: 'no-split' }),
  'a sync writes to the replica': () => ({ policy: 'direct' }),
  'the cursor goes beyond what is durable': () => ({ policy: 'ahead' }),
  'the cursor goes back after the replica': lateCursor,
  'steps are merged whose redo is there': () => ({ policy: 'merge-dense' }),
  'readers hear of a step too late': lateCounter,
  'undo is made anew from a half-written replica': () => undoMadeAnew,
  'the cursor moves before the replica is flushed': () => ({
    work: (work, world) => {
      const unflushed = world.workOn(withoutReplicaSync(world));
      return { ...work, writeReplica: (job) => unflushed.writeReplica(job) };
    },
  }),
  'undo is unlinked before the roll back is flushed': () => ({
    work: (work, world) => {
      const unflushed = world.workOn(withoutReplicaSync(world));
      return { ...work, rollBack: (job) => unflushed.rollBack(job) };
    },
  }),
};

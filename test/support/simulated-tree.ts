// The directories of the simulated file system: entries as they are, and what of them a power cut may leave.
import type { Random } from './random.ts';
import { SimulatedFile, type CrashMode } from './simulated-file.ts';

export type SimulatedNode = SimulatedDirectory | SimulatedFile;

export class SimulatedDirectory {
  readonly entries = new Map<string, SimulatedNode>();
  readonly durable = new Map<string, SimulatedNode>();
}

interface Entry {
  directory: SimulatedDirectory;
  name: string;
  node: SimulatedNode | null;
}
/** What one call did to directories; it survives a power cut as a whole or not at all. */
interface Change {
  number: number;
  entries: Entry[];
}

/**
 * A change is durable once one of the directories it is in was synced; until then it may be lost, whatever
 * its age.
 */
export class SimulatedTree {
  readonly root = new SimulatedDirectory();
  private changes: Change[] = [];
  private changed = 0;

  change(entries: Entry[]): void {
    for (const entry of entries) setEntry(entry.directory.entries, entry);
    this.changed += 1;
    this.changes.push({ number: this.changed, entries });
  }

  beginSync(): number {
    return this.changed;
  }

  completeSync(directory: SimulatedDirectory, mark: number): void {
    const covered = (change: Change): boolean =>
      change.number <= mark && change.entries.some((entry) => entry.directory === directory);
    for (const change of this.changes) {
      if (covered(change)) for (const entry of change.entries) setEntry(entry.directory.durable, entry);
    }
    this.changes = this.changes.filter((change) => !covered(change));
  }

  afterCrash(random: Random, mode: CrashMode): SimulatedTree {
    const kept = this.changes.filter(() => (mode === 'mixed' ? random.chance(0.5) : mode === 'keep'));
    const left = new SimulatedTree();
    const copies = new Map<SimulatedNode, SimulatedNode>([[this.root, left.root]]);
    const copy = (node: SimulatedNode): SimulatedNode => {
      const known = copies.get(node);
      if (known) return known;
      const made = node instanceof SimulatedFile ? node.afterCrash(random, mode) : new SimulatedDirectory();
      copies.set(node, made);
      return made;
    };
    const survivors = (directory: SimulatedDirectory): Map<string, SimulatedNode> => {
      const entries = new Map(directory.durable);
      for (const change of kept) {
        for (const entry of change.entries) if (entry.directory === directory) setEntry(entries, entry);
      }
      return entries;
    };
    copyEntries(this.root, survivors, copy, (made, entries) => {
      for (const [name, node] of entries) {
        made.entries.set(name, node);
        made.durable.set(name, node);
      }
    });
    return left;
  }

  afterKill(): SimulatedTree {
    const left = new SimulatedTree();
    const copies = new Map<SimulatedNode, SimulatedNode>([[this.root, left.root]]);
    const copy = (node: SimulatedNode): SimulatedNode => {
      const known = copies.get(node);
      if (known) return known;
      const made = node instanceof SimulatedFile ? node.afterKill() : new SimulatedDirectory();
      copies.set(node, made);
      if (made instanceof SimulatedDirectory && node instanceof SimulatedDirectory) fill(node, made);
      return made;
    };
    const fill = (from: SimulatedDirectory, to: SimulatedDirectory): void => {
      for (const [name, node] of from.entries) to.entries.set(name, copy(node));
      for (const [name, node] of from.durable) to.durable.set(name, copy(node));
    };
    fill(this.root, left.root);
    left.changed = this.changed;
    left.changes = this.changes.map((change) => ({
      number: change.number,
      entries: change.entries.map((entry) => ({
        directory: copy(entry.directory) as SimulatedDirectory,
        name: entry.name,
        node: entry.node && copy(entry.node),
      })),
    }));
    return left;
  }
}

/** Walks down from `root` and hands each directory's copy its copied entries. */
function copyEntries(
  root: SimulatedDirectory,
  survivors: (directory: SimulatedDirectory) => Map<string, SimulatedNode>,
  copy: (node: SimulatedNode) => SimulatedNode,
  take: (made: SimulatedDirectory, entries: [string, SimulatedNode][]) => void,
): void {
  const waiting = [root];
  for (let directory = waiting.pop(); directory; directory = waiting.pop()) {
    const entries = survivors(directory);
    take(
      copy(directory) as SimulatedDirectory,
      [...entries].map(([name, node]) => [name, copy(node)]),
    );
    for (const node of entries.values()) if (node instanceof SimulatedDirectory) waiting.push(node);
  }
}

function setEntry(entries: Map<string, SimulatedNode>, entry: Entry): void {
  if (entry.node) entries.set(entry.name, entry.node);
  else entries.delete(entry.name);
}

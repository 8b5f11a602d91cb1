// What every disk of a small machine holds after each LSN: the plain model beside the real cursor.

export const truthDisks = 2;
export const truthDiskBytes = 8192;

/** What one record does to the disks; `bytes` is null for zeros, and nothing is known of `unknown` ones. */
export interface Change {
  kind: 'write' | 'zero' | 'unknown' | 'note';
  disk: number;
  offset: number;
  length: number;
  bytes: Buffer | null;
}

/** All disks one behind the other; of a byte with a mark in `unknown` nobody knows the content. */
export interface State {
  bytes: Buffer;
  unknown: Buffer;
}

export const note: Change = { kind: 'note', disk: 0, offset: 0, length: 0, bytes: null };

/**
 * Changes count in the order of their attempts, as far as the head of the journal says that they are in
 * it.
 */
export class Truth {
  readonly states: State[];
  #attempts: Change[] = [];

  constructor(states: State[] = [blank()]) {
    this.states = states;
  }

  get head(): number {
    return this.states.length - 1;
  }

  attempt(change: Change): void {
    this.#attempts.push(change);
  }

  /** It was refused. One that is in the journal already stays. */
  refused(change: Change): void {
    this.#attempts = this.#attempts.filter((one) => one !== change);
  }

  /** The journal's head is `lsn`. */
  catchUp(lsn: number): void {
    while (this.head < lsn) {
      const next = this.#attempts.shift();
      if (next === undefined) throw new Error(`LSN ${lsn} is more than was attempted`);
      this.states.push(changed(this.stateAt(this.head), next));
    }
  }

  /** Another process has found this head; what was attempted above is forgotten. */
  restart(lsn: number): void {
    this.catchUp(lsn);
    this.states.length = lsn + 1;
    this.#attempts = [];
  }

  stateAt(lsn: number): State {
    const state = this.states[lsn];
    if (state === undefined) throw new Error(`the model knows no LSN ${lsn}`);
    return state;
  }

  copy(): Truth {
    const copy = new Truth([...this.states]);
    copy.#attempts = [...this.#attempts];
    return copy;
  }
}

function blank(): State {
  const size = truthDisks * truthDiskBytes;
  return { bytes: Buffer.alloc(size), unknown: Buffer.alloc(size) };
}

function changed(state: State, { kind, disk, offset, length, bytes }: Change): State {
  if (kind === 'note') return state;
  const next = { bytes: Buffer.from(state.bytes), unknown: Buffer.from(state.unknown) };
  const start = disk * truthDiskBytes + offset;
  const end = start + length;
  next.unknown.fill(kind === 'unknown' ? 1 : 0, start, end);
  if (bytes === null) next.bytes.fill(0, start, end);
  else bytes.copy(next.bytes, start);
  return next;
}

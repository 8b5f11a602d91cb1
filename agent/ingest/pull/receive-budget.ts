// The memory that received records take before they are durable: a share for each stream, and a bound for
// all.

export interface BudgetShare {
  /** Takes bytes, whatever the bounds say: they have been received. */
  take(bytes: number): void;
  give(bytes: number): void;
  /** Nothing more should be received now. */
  readonly full: boolean;
  /** Gives back what is still taken. */
  end(): void;
}

export class ReceiveBudget {
  readonly #mostBytes: number;
  readonly #shareBytes: number;
  readonly #changed = new Set<() => void>();
  #bytes = 0;

  /** `shareBytes` is the most of one stream, `mostBytes` that of all. */
  constructor(mostBytes: number, shareBytes: number) {
    this.#mostBytes = mostBytes;
    this.#shareBytes = shareBytes;
  }

  /** `changed` is called when bytes were given back: one that was full may not be any more. */
  share(changed: () => void): BudgetShare {
    let taken = 0;
    this.#changed.add(changed);
    const isFull = (): boolean => taken > 0 && (taken >= this.#shareBytes || this.#bytes >= this.#mostBytes);
    const give = (bytes: number): void => {
      taken -= bytes;
      this.#bytes -= bytes;
      for (const listener of this.#changed) listener();
    };
    return {
      take: (bytes) => {
        taken += bytes;
        this.#bytes += bytes;
      },
      give,
      get full() {
        return isFull();
      },
      end: () => {
        this.#changed.delete(changed);
        give(taken);
      },
    };
  }
}

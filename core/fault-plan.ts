// Which I/O calls fail on demand: the n-th, or all from there on.
import { systemError } from './system-error.ts';

interface Fault<Name> {
  names: readonly Name[] | null;
  seen: number;
  from: number;
  to: number;
  errno: string;
}

export class FaultPlan<Name extends string> {
  /** How many calls were made to fail. */
  injected = 0;
  private faults: Fault<Name>[] = [];

  /** Fails the n-th call from now on (of the given names, else of any), once. */
  failAt(n: number, errno: string, names: readonly Name[] | null = null): void {
    this.faults.push({ names, seen: 0, from: n, to: n, errno });
  }

  /** Fails the n-th call from now on, and all after it. */
  failFrom(n: number, errno: string, names: readonly Name[] | null = null): void {
    this.faults.push({ names, seen: 0, from: n, to: Infinity, errno });
  }

  clear(): void {
    this.faults = [];
  }

  /** To be called once for each I/O call; throws when it is its turn to fail. */
  check(name: Name): void {
    let errno: string | null = null;
    for (const fault of this.faults) {
      if (fault.names && !fault.names.includes(name)) continue;
      fault.seen += 1;
      if (fault.seen >= fault.from && fault.seen <= fault.to) errno ??= fault.errno;
    }
    if (errno === null) return;
    this.injected += 1;
    throw systemError(errno, name);
  }
}

// The lease of a mount's view: put off for as long as this process lives, and no longer than was asked for.
import type { ControlClient } from '../../agent/control/client.ts';
import { formatTime } from '../../core/clock.ts';
import { limits } from '../../core/limits.ts';
import { microseconds } from '../../core/units.ts';

/** The first one; `asked` is what --for says, or null. */
export const firstLease = (asked: number | null): number => Math.min(asked ?? Infinity, limits.mountLeaseMs);

/** When it ends that was asked for, RFC 3339, or null; of a view that has just been opened. */
export function endOf(expiresAt: string | null, asked: number | null): string | null {
  if (asked === null || expiresAt === null) return null;
  if (asked <= limits.mountLeaseMs) return expiresAt;
  return formatTime(microseconds((Date.parse(expiresAt) + asked - limits.mountLeaseMs) * 1000));
}

/**
 * Renews it until `close`. What fails is tried again; that the view has gone is seen by its connection.
 */
export function keepLease(
  { id, asked }: { id: string; asked: number | null },
  withClient: (ask: (client: ControlClient) => Promise<unknown>) => Promise<unknown>,
): { close(): void } {
  const deadline = performance.now() + (asked ?? Infinity);
  const timer = setInterval(() => {
    const leaseMs = Math.min(deadline - performance.now(), limits.mountLeaseMs);
    if (leaseMs <= 0) clearInterval(timer);
    else withClient((client) => client.renewView(id, leaseMs)).catch(() => undefined);
  }, limits.mountLeaseMs / 4);
  return { close: () => clearInterval(timer) };
}

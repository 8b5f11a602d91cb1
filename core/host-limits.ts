// Limits of what looks at a host and looks after its services: part of `limits`, see there.
import { assert } from './errors.ts';
import { GiB, KiB, MiB } from './units.ts';

export const hostLimits = {
  /** Of the checks of a host: each of them, one program that it runs and what that prints, one connect. */
  checkMs: 60_000,
  checkCommandMs: 20_000,
  checkOutputBytes: 32 * MiB,
  checkConnectMs: 5_000,
  /** Checks that a host may report, and what each may say; a word for one that is accepted. */
  hostChecks: 64,
  checkTextCharacters: 1000,
  acceptedCheckCharacters: 500,
  /** Packages may have to be fetched over a slow line. */
  packageInstallMs: 30 * 60_000,
  /** Of a retention volume: less is short, as are days until it is full at the rate it grows. */
  checkFreeBytes: 5 * GiB,
  checkFreePart: 0.05,
  checkForecastDays: 7,
  /** So long no link of a disk must have changed before the list of disks is read again. */
  disksSettleMs: 500,
  /** What a daemon that starts asks the service manager for, and how often. */
  serviceStartMs: 60_000,
  serviceStartSignMs: 15_000,
  /** When it is asked again after its queue was full. */
  serviceBusyMs: 100,
  /** hostconfigcli: to the end of the TLS handshake, and what it looks at when that did not work. */
  screenConnectMs: 10_000,
  probeMs: 3_000,
  /** What says nothing for so long is asked as a web server would be. */
  probeQuietMs: 500,
  /** It waits so long for an operator to approve this host, unless it is told otherwise. */
  approvalWaitMs: 15 * 60_000,
  /** How often it looks at the service, and asks the daemon for the last contact. */
  screenStatusMs: 3_000,
  /** Lines of the log that it shows, and what it reads of the end of a file for them. */
  screenLogLines: 200,
  screenLogMs: 500,
  screenLogBytes: 64 * KiB,
} as const;

assert(hostLimits.serviceStartSignMs < hostLimits.serviceStartMs, 'a start that goes on is never late');
assert(hostLimits.checkCommandMs < hostLimits.checkMs, 'a check can say which program did not end');

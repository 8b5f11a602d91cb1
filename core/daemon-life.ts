// What the daemons have in common: a directory of data, what is to be stopped, and a signal that ends them.
import { ensureDirectorySync } from './directory.ts';
import { errnoOf, HomewardError } from './errors.ts';

export type Stops = (() => Promise<void> | void)[];

/** Stops what was started last first, one after the other; none is called twice. */
export async function stopAll(stops: Stops): Promise<void> {
  for (const stop of stops.splice(0).reverse()) await stop();
}

/** Resolves when the signal is, or was, aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Makes the directory that `--data` names, where it is missing. Throws 'not-a-volume' for a file. */
export function makeDataDirectory(data: string): void {
  try {
    ensureDirectorySync(data);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTDIR') throw error;
    throw new HomewardError('not-a-volume', `${data} is not a directory`, {
      cause: error,
      hint: 'Give --data a directory.',
    });
  }
}

// What ApplyCustomChanges.sh leaves behind, for the checks that ask whether it was run.
import { installations } from '../../core/usual-places.ts';
import type { Host } from './host.ts';

const state = '/var/lib/homeward/custom-changes';

/** A run of it was interrupted, or the initramfs could not be rebuilt. */
export const isInitramfsDue = (host: Host): boolean => host.stat(`${state}/initramfs-due`) !== null;

/** What to type on this host. */
export function applyAction(host: Host): string {
  const places = installations().map((directory) => `${directory}/current/installer`);
  const place = places.find((directory) => host.stat(`${directory}/ApplyCustomChanges.sh`) !== null);
  const script =
    place === undefined ? './ApplyCustomChanges.sh, beside install.sh' : `${place}/ApplyCustomChanges.sh`;
  return `Run: sudo ${script}`;
}

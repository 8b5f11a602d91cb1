// Which options of a recovery mean something for its target: what would do nothing is refused, so that nobody
// believes it done.
import { HomewardError } from '../../core/errors.ts';
import type { RecoverRequest } from './service.ts';

/** Throws 'usage'. */
export function refuseIdleOptions(request: RecoverRequest): void {
  const { target, overwrite, verify, fresh, allowDamaged } = request;
  if (target.kind === 'block') return;
  const isInPlace = target.kind === 'in-place';
  if (overwrite.length > 0) refuse('--overwrite-disk', isInPlace ? nothingAsked : filesKept);
  if (!isInPlace) return;
  if (verify) refuse('--verify', 'the replica itself is moved: `homeward verify M` reads it.');
  if (allowDamaged) refuse('--allow-damaged', 'what is damaged or unknown stays so, and reads as an error.');
  if (fresh) refuse('--fresh', 'one that was interrupted leaves nothing behind.');

  function refuse(option: string, why: string): never {
    const where = isInPlace ? 'in-place' : `${target.kind}:`;
    throw new HomewardError('usage', `${option} has no meaning with --to ${where}`, {
      hint: `Leave it out: ${why}`,
    });
  }
}

const nothingAsked = 'only the replica of the machine is written to.';
const filesKept = 'it is about devices; files that exist are never overwritten.';

// Holds back the replies of writes for a moment, so that no writer goes on while a group is tagged.
import { limits } from '../../core/limits.ts';

/** While anybody holds, replies wait in order; nobody holds longer than `limits.replyHoldMs`. */
export class ReplyHold {
  #holds = 0;
  #waiting: (() => void)[] = [];

  /** Ends by itself after `ms`; the returned function ends it before and may be called again. */
  hold(ms: number): () => void {
    this.#holds += 1;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      clearTimeout(timer);
      this.#holds -= 1;
      if (this.#holds === 0) this.#answer();
    };
    const timer = setTimeout(release, Math.min(ms, limits.replyHoldMs));
    return release;
  }

  reply(answer: () => void): void {
    if (this.#holds === 0) answer();
    else this.#waiting.push(answer);
  }

  #answer(): void {
    for (const answer of this.#waiting.splice(0)) answer();
  }
}

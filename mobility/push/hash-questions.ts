// Asks the master target for hashes of the machine's state, through the process server.
import { hashBytes, hashedChunkBytes, type Relay } from '../../core/chain/messages.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';

type Place = { sync: number; disk: number; start: number; end: number };

interface Question extends Place {
  answered(hashes: Buffer): void;
  failed(error: Error): void;
}

/** Answers may come in any order; a question that a break cut off may be asked again ('chain-broken'). */
export class HashQuestions {
  readonly #send: (relay: Relay) => boolean;
  readonly #questions = new Set<Question>();

  constructor(send: (relay: Relay) => boolean) {
    this.#send = send;
  }

  /** See `AskHashes`. Codes that may be retried: 'host-not-connected', 'chain-broken', 'timed-out'. */
  ask = (sync: number, disk: number, start: number, end: number, signal: AbortSignal): Promise<Buffer> => {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        this.#questions.delete(question);
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
      };
      const failed = (error: Error): void => {
        finish();
        reject(error);
      };
      const answered = (hashes: Buffer): void => {
        finish();
        resolve(hashes);
      };
      const aborted = (): void => failed(signal.reason as Error);
      const question = { sync, disk, start, end, answered, failed };
      const timer = setTimeout(
        () => failed(new HomewardError('timed-out', 'the master target did not answer with hashes')),
        limits.hashesAnswerMs,
      );
      signal.addEventListener('abort', aborted);
      this.#questions.add(question);
      if (!this.#send({ kind: 'hashes-wanted', sync, disk, start, end }))
        failed(new HomewardError('host-not-connected', 'there is no stream to the process server'));
    });
  };

  received(relay: Relay): void {
    if (relay.kind === 'hashes-wanted') return;
    const question = [...this.#questions].find((each) => isSame(each, relay));
    if (question === undefined) return;
    if (relay.kind === 'hashes-failed')
      return question.failed(
        new HomewardError('damaged', `the master target has no hashes: ${relay.message}`),
      );
    const hashes = Buffer.from(relay.hashes, 'base64');
    const expected = Math.ceil((relay.end - relay.start) / hashedChunkBytes) * hashBytes;
    if (hashes.length === expected) question.answered(hashes);
    else
      question.failed(new HomewardError('damaged', `${hashes.length} bytes of hashes came, not ${expected}`));
  }

  /** The stream is gone, and the answers with it. */
  disconnected(): void {
    for (const question of this.#questions)
      question.failed(new HomewardError('chain-broken', 'the stream ended before the hashes came'));
  }
}

const isSame = (one: Place, other: Place): boolean =>
  one.sync === other.sync && one.disk === other.disk && one.start === other.start && one.end === other.end;

// A recorder that only takes tags, and says what a test wants of its positions.
import type { TagNote } from '../../../../core/record/notes.ts';
import type { Recorder } from '../../../../mobility/outbox/recorder.ts';

export interface TagRecorder extends Recorder {
  headLsn: number;
  spooledLsn: number;
  targetLsn: number;
  recording: boolean;
  readonly tags: TagNote[];
  moved(): void;
}

export function tagRecorder(): TagRecorder {
  const listeners: (() => void)[] = [];
  const tags: TagNote[] = [];
  return {
    tags,
    recording: true,
    crowded: false,
    headLsn: 0,
    spooledLsn: 0,
    targetLsn: 0,
    record: () => null,
    syncBegin: () => null,
    syncEnd: () => null,
    keepTold: () => true,
    onProgress: (listener) => listeners.push(listener),
    moved: () => {
      for (const listener of listeners) listener();
    },
    tag(note) {
      if (!this.recording) return null;
      this.headLsn += 1;
      tags.push(note);
      return { lsn: this.headLsn, time: this.headLsn * 1_000_000 };
    },
  };
}

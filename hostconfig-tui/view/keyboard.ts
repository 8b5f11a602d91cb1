// Keys from a terminal: what Node makes of the bytes, as keys of the model.
import readline from 'node:readline';
import type { Readable } from 'node:stream';
import type { Key, KeyName } from '../model/key.ts';

/** As `readline` reports it. */
interface Pressed {
  name?: string | undefined;
  sequence?: string | undefined;
  ctrl?: boolean | undefined;
  meta?: boolean | undefined;
  shift?: boolean | undefined;
}

const names: Readonly<Record<string, KeyName>> = {
  return: 'enter',
  enter: 'enter',
  escape: 'escape',
  up: 'up',
  down: 'down',
  left: 'left',
  right: 'right',
  home: 'home',
  end: 'end',
  pageup: 'page-up',
  pagedown: 'page-down',
  backspace: 'backspace',
  delete: 'delete',
};
const controls: Readonly<Record<string, KeyName>> = {
  c: 'interrupt',
  l: 'redraw',
  u: 'clear',
  h: 'backspace',
};

/** What follows Esc within this time belongs to it: a slow line does not turn an arrow key into Esc. */
const escapeMs = 150;

/** Takes what is pasted together, between the marks that a terminal puts around it. */
export class KeyReader {
  #pasting: string | null = null;

  /** The key, or null for one that means nothing here, or a part of a paste. */
  read(character: string | undefined, { name = '', sequence = '', ctrl, meta, shift }: Pressed): Key | null {
    if (name === 'paste-start') {
      this.#pasting = '';
      return null;
    }
    if (name === 'paste-end') {
      const text = this.#pasting ?? '';
      this.#pasting = null;
      return { kind: 'paste', text };
    }
    // A terminal that never says where a paste ends must not take the last way out.
    if (this.#pasting !== null && ctrl === true && name === 'c') this.#pasting = null;
    if (this.#pasting !== null) {
      this.#pasting += character ?? sequence;
      return null;
    }
    if (name === 'tab') return { kind: 'named', name: shift === true ? 'back-tab' : 'tab' };
    if (ctrl === true && name !== 'backspace') return named(controls[name]);
    const known = names[name];
    if (known !== undefined && (meta !== true || known === 'escape')) return named(known);
    const text = character ?? '';
    const isTyped = meta !== true && text !== '' && !/^[\p{C}]/u.test(text);
    return isTyped ? { kind: 'text', text } : null;
  }
}

const named = (name: KeyName | undefined): Key | null =>
  name === undefined ? null : { kind: 'named', name };

/** Calls `onKey` for each key from now on; the function that comes back ends it. */
export function listenForKeys(input: Readable, onKey: (key: Key) => void): () => void {
  const reader = new KeyReader();
  const onKeypress = (character: string | undefined, pressed: Pressed): void => {
    const key = reader.read(character, pressed);
    if (key !== null) onKey(key);
  };
  readline.emitKeypressEvents(input, { escapeCodeTimeout: escapeMs } as unknown as readline.Interface);
  input.on('keypress', onKeypress);
  return () => input.off('keypress', onKeypress);
}

// What somebody did at the keyboard, whatever terminal it came from.

export const KeyName = {
  enter: 'enter',
  escape: 'escape',
  tab: 'tab',
  backTab: 'back-tab',
  up: 'up',
  down: 'down',
  left: 'left',
  right: 'right',
  home: 'home',
  end: 'end',
  pageUp: 'page-up',
  pageDown: 'page-down',
  /** Sent as 8 or as 127. */
  backspace: 'backspace',
  delete: 'delete',
  /** Ctrl-U. */
  clear: 'clear',
  /** Ctrl-L: something else wrote on the screen. */
  redraw: 'redraw',
  /** Ctrl-C. */
  interrupt: 'interrupt',
} as const;
export type KeyName = (typeof KeyName)[keyof typeof KeyName];

export type Key =
  | { kind: 'named'; name: KeyName }
  /** One typed character. */
  | { kind: 'text'; text: string }
  /** In one piece, so that nothing in it counts as a key. */
  | { kind: 'paste'; text: string };

export const isNamed = (key: Key, ...names: KeyName[]): boolean =>
  key.kind === 'named' && names.includes(key.name);

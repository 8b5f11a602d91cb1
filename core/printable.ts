// Text of others as a log or a terminal may show it: what they would obey is spelled out.

/** Control characters, and those that turn or hide text, as `\\u001b`; line feeds too. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_each, at) => spell(character.charCodeAt(at))).join(''),
  );
}

const spell = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`;

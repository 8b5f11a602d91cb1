// Text as troff's man macros want it, for pages that are put together here.

/** Backslashes, and lines that would begin with a request. Dashes are those that a shell understands. */
export function escapeRoff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1')
    .replaceAll(/[^\0-\x7f]/gu, (character) => `\\[u${hex(character)}]`);
}

function hex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
}

/** One paragraph of ours: what stands in backticks is bold. */
export function roffText(text: string): string {
  return escapeRoff(text).replaceAll(/`([^`]*)`/g, (_, inner: string) => `\\fB${inner}\\fR`);
}

/** `--at <when>`: what is typed bold, what stands for something in italics. */
export function roffFlags(flags: string): string {
  return flags
    .split(/(<[^>]*>|\[[^\]]*\])/)
    .filter((part) => part !== '')
    .map((part) => {
      const placeholder = /^<(.*)>$/.exec(part)?.[1];
      return placeholder === undefined ? `\\fB${escapeRoff(part)}\\fR` : `\\fI${escapeRoff(placeholder)}\\fR`;
    })
    .join('');
}

/** A `.TP`: what it is about, and a sentence. */
export function roffItem(head: string, text: string): string {
  return `.TP\n${head}\n${roffText(text)}\n`;
}

/** Lines as they are. */
export function roffVerbatim(text: string): string {
  return `.PP\n.nf\n${escapeRoff(text)}\n.fi\n`;
}

// What is under way, as lines.

/** What has to be typed elsewhere stands in a line of its own, as it is: it is copied from there. */
export function progressLines(text: string): string[] {
  const [what = '', ...below] = text.split('\n');
  return below.length === 0 ? [`${what} ...`] : [what, ...below];
}

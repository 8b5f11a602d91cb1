// Which of two versions of the product is newer.

/** Whether `version` (`1.2.3`) is newer than `other`; what is no number counts as 0. */
export function isNewerVersion(version: string, other: string): boolean {
  const mine = numbersOf(version);
  const theirs = numbersOf(other);
  for (let at = 0; at < 3; at += 1) {
    const difference = (mine[at] ?? 0) - (theirs[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

/** What follows a hyphen (`-rc.1`) says nothing about the order here. */
const numbersOf = (version: string): number[] =>
  (version.split('-')[0] ?? '').split('.').map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : 0));

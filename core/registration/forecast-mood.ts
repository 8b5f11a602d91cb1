// Whether history fits, and what is news in that: told when it begins to fall short, gets worse, and ends.

export type Mood = 'fits' | 'falls' | 'short';

/** Both in the same unit; `fallsUnderAt` is null as long as all of it fits. */
export const moodOf = (fallsUnderAt: number | null, now: number): Mood =>
  fallsUnderAt === null ? 'fits' : fallsUnderAt <= now ? 'short' : 'falls';

/** The name of the event, or null. From short to falling is better: no news for who was told the worse. */
export function moodNews(before: Mood, mood: Mood): `history-${Mood}` | null {
  if (mood === before || (mood === 'falls' && before === 'short')) return null;
  return `history-${mood}`;
}

// What lsblk says of the block devices, held against what was read from /sys.
import { z } from 'zod';
import type { BlockGraph } from './block-graph.ts';
import type { Host } from './host.ts';

interface Entry {
  name: string;
  type: string;
  size: number | string | null;
  children?: Entry[] | undefined;
}

const entrySchema: z.ZodType<Entry> = z.object({
  name: z.string(),
  type: z.string(),
  size: z.union([z.number(), z.string(), z.null()]),
  children: z.lazy(() => z.array(entrySchema)).optional(),
});
const outputSchema = z.object({ blockdevices: z.array(entrySchema) });

/** Differences in words; none when lsblk is not there, or says nothing that can be understood. */
export async function crossCheck(host: Host, graph: BlockGraph): Promise<string[]> {
  const answer = await host.run('lsblk', ['--json', '--bytes', '--output', 'NAME,TYPE,SIZE']);
  if (answer === null || answer.status !== 0) return [];
  const parsed = outputSchema.safeParse(tryParse(answer.stdout));
  return parsed.success ? compare(parsed.data.blockdevices, graph) : [];
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // an older lsblk: /sys alone counts
  }
}

/** Disks that only one of both has, and those of another size. */
export function compare(entries: readonly Entry[], graph: BlockGraph): string[] {
  const listed = new Map(
    entries.filter(({ type }) => type === 'disk').map((entry) => [entry.name, Number(entry.size ?? 0)]),
  );
  const seen = [...graph.devices.values()].filter(({ kind, bytes }) => kind === 'disk' && bytes > 0);
  const differences = seen.flatMap(({ name, bytes }) => {
    const size = listed.get(name.replaceAll('!', '/'));
    if (size === undefined) return [`it does not list ${name}`];
    return size === bytes ? [] : [`${name} has ${size} bytes there, ${bytes} in /sys`];
  });
  const unknown = [...listed].filter(
    ([name, size]) => size > 0 && !graph.devices.has(name.replaceAll('/', '!')),
  );
  return [...differences, ...unknown.map(([name]) => `it lists ${name}, which /sys does not have`)];
}

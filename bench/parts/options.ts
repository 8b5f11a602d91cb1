// The command line of `npm run bench`.
import { parseArgs } from 'node:util';

export interface BenchOptions {
  rows: number[];
  /** A/B pairs for each case. */
  pairs: number;
  /** What one run of a write row is sized for. */
  seconds: number;
  /** Where the JSON goes, or null. */
  json: string | null;
  /** Replace the rows that were run in docs/benchmarks.md. */
  writeDocs: boolean;
  /** A sentence about the circumstances, for the page. */
  note: string | null;
  /** Where servers keep their files: it decides which disk is measured. */
  directory: string | null;
}

export const builtRows = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];

export const usage = `npm run bench -- [--rows 1,2,9] [--json FILE] [--pairs N] [--seconds S]
             [--directory DIR] [--write-docs [--note TEXT]]
rows: ${builtRows.join(', ')}`;

/** Throws a RangeError or TypeError with a sentence for what is wrong. */
export function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      rows: { type: 'string', default: builtRows.join(',') },
      pairs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      json: { type: 'string' },
      directory: { type: 'string' },
      note: { type: 'string' },
      'write-docs': { type: 'boolean', default: false },
    },
  });
  const rows = values.rows.split(',').map(Number);
  const unknown = rows.find((row) => !builtRows.includes(row));
  if (unknown !== undefined)
    throw new RangeError(`row ${unknown} is not built; there are ${builtRows.join(', ')}`);
  return {
    rows,
    pairs: positive(values.pairs, '--pairs'),
    seconds: positive(values.seconds, '--seconds'),
    json: values.json ?? null,
    writeDocs: values['write-docs'],
    note: values.note ?? null,
    directory: values.directory ?? null,
  };
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`${name} takes a number above 0`);
  return value;
}

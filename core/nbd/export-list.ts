// A fixed set of exports by name; the default export is the only one, where there is only one.
import type { NbdExport, NbdExports } from './export.ts';

export function exportList(exports: readonly NbdExport[]): NbdExports {
  return {
    list: () => exports.map(({ name, description }) => ({ name, description })),
    find(name) {
      if (name === '') return exports.length === 1 ? (exports[0] ?? null) : null;
      return exports.find((candidate) => candidate.name === name) ?? null;
    },
  };
}

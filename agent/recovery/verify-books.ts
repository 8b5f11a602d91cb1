// Checks the small files of a machine on disk against what this daemon knows: machine.json, cursor, ledger.
import fs from 'node:fs';
import type { LedgerBreak } from '../journal/ledger-breaks.ts';
import { readChain } from '../journal/ledger-line.ts';
import type { Ledger } from '../journal/ledger.ts';
import { readCursor, type Cursor } from '../replica/cursor.ts';
import { previousFile, readMachineFile, type MachineFile } from '../replica/machine-file.ts';
import type { Finding } from './verify-finding.ts';

export interface Books {
  paths: { machineFile: string; cursorFile: string; ledger: string };
  file: Pick<MachineFile, 'id' | 'disks'>;
  cursor: Readonly<Cursor>;
  ledger: Pick<Ledger, 'head'>;
  /** Of the ledger, as far as they concern what is kept. */
  ledgerBreaks: readonly LedgerBreak[];
}

/** Nothing is awaited: what is in the files and what is known belong to one moment. */
export function checkBooks({ paths, file, cursor, ledger, ledgerBreaks }: Books): Finding[] {
  const found = (where: 'cursor' | 'ledger' | 'machine', path: string, what: string | null): Finding[] =>
    what === null
      ? []
      : [
          {
            ...({ in: where, file: path, disk: null, start: null, end: null, what } as const),
            ...{ from: cursor.lsn, to: cursor.lsn, fromTime: null, toTime: null },
          },
        ];
  const { machineFile, cursorFile } = paths;
  return [
    ...found('machine', machineFile, checkMachineFile(machineFile, file)),
    ...found('machine', previousFile(machineFile), checkMachineFile(previousFile(machineFile), file)),
    ...found('cursor', cursorFile, checkCursor(cursorFile, cursor)),
    ...found('ledger', paths.ledger, checkLedger(paths.ledger, ledger)),
    ...ledgerBreaks.map((one) => brokenAccount(paths.ledger, one)),
  ];
}

/**
 * Told of for as long as history of then may be kept: files that are gone since then may be missed by nobody.
 */
function brokenAccount(path: string, { line, why, from, to, aside }: LedgerBreak): Finding {
  const rest = aside === null ? '' : `; what stood there is in ${aside}`;
  const what =
    `the account of this history was damaged or missing from line ${line} on at a start (${why}): ` +
    `what it alone knew is unknown${rest}`;
  return {
    ...({ in: 'ledger', file: path, disk: null, start: null, end: null, what } as const),
    ...{ from, to, fromTime: null, toTime: null },
  };
}

function checkMachineFile(path: string, { id }: Books['file']): string | null {
  return whyNot(() => {
    const read = readMachineFile(path, (why) => {
      throw why; // the file beside it is looked at for itself
    });
    return read.id === id ? null : `it is of another machine, ${read.name} (${read.id})`;
  });
}

function checkCursor(path: string, known: Readonly<Cursor>): string | null {
  return whyNot(() => {
    const { lsn, generation, stepTo } = readCursor(path, (why) => {
      throw why; // of two copies both have to be sound
    });
    const isSame = lsn === known.lsn && generation === known.generation && stepTo === known.stepTo;
    return isSame ? null : `it says lsn:${lsn}; the replica is at lsn:${known.lsn}`;
  });
}

function checkLedger(path: string, { head }: Pick<Ledger, 'head'>): string | null {
  return whyNot(() => {
    const chain = readChain(fs.readFileSync(path), () => undefined);
    // Lines that are being written now may follow, or a part of one.
    if (chain.head.n < head.n) return chain.cut ?? `it ends with line ${chain.head.n} of ${head.n}`;
    if (chain.head.n === head.n && chain.head.hash !== head.hash) return `line ${head.n} is another one`;
    return null;
  });
}

function whyNot(look: () => string | null): string | null {
  try {
    return look();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

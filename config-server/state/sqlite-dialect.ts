// The embedded database: node:sqlite in the shape that kysely's SQLite dialect asks for.
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { SqliteDialect, type SqliteDatabase } from 'kysely';

/** One file, write-ahead log, synced at each commit: what was answered to a host or an operator is kept. */
export function sqliteDialect(file: string): SqliteDialect {
  return new SqliteDialect({ database: async () => openDatabase(file) });
}

function openDatabase(file: string): SqliteDatabase {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  return {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql);
      const input = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...input(parameters)),
        run: (parameters) => statement.run(...input(parameters)),
        iterate: (parameters) => statement.iterate(...input(parameters)),
      };
    },
  };
}

// Opens the state of the configuration server, and brings an older one up to date.
import { Kysely } from 'kysely';
import { Migrator, type Migration } from 'kysely/migration';
import { HomewardError } from '../../core/errors.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import type { State, Tables } from './tables.ts';

/** Throws 'damaged' when the file is no database of ours, or one of a newer version. */
export async function openState(file: string): Promise<State> {
  const state = new Kysely<Tables>({ dialect: sqliteDialect(file) });
  const migrator = new Migrator({ db: state, provider: { getMigrations: async () => migrations } });
  try {
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) throw error;
    return state;
  } catch (error) {
    await state.destroy();
    const why = error instanceof Error ? error.message : String(error);
    throw new HomewardError('damaged', `${file} cannot be used: ${why}`, {
      cause: error,
      hint: 'Put back the file from a copy, or install the version that wrote it.',
    });
  }
}

/** Applied in the order of their names, each once; a published one is never changed. Portable SQL only. */
const migrations: Record<string, Migration> = {
  '0001-first': {
    async up(db) {
      await db.schema
        .createTable('hosts')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('role', 'text', (column) => column.notNull())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('key_hash', 'text', (column) => column.notNull())
        .addColumn('version', 'text', (column) => column.notNull())
        .addColumn('addresses', 'text', (column) => column.notNull())
        .addColumn('disks', 'text', (column) => column.notNull())
        .addColumn('first_contact', 'bigint', (column) => column.notNull())
        .addColumn('last_contact', 'bigint')
        .addColumn('removed_at', 'bigint')
        .execute();
      await db.schema
        .createTable('pending')
        .addColumn('key_hash', 'text', (column) => column.primaryKey())
        .addColumn('host_id', 'text', (column) => column.notNull())
        .addColumn('role', 'text', (column) => column.notNull())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('version', 'text', (column) => column.notNull())
        .addColumn('address', 'text', (column) => column.notNull())
        .addColumn('reason', 'text', (column) => column.notNull())
        .addColumn('first_asked', 'bigint', (column) => column.notNull())
        .addColumn('last_asked', 'bigint', (column) => column.notNull())
        .addColumn('approved', 'integer', (column) => column.notNull())
        .execute();
    },
  },
  '0002-machines': {
    async up(db) {
      await db.schema
        .createTable('machines')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('source', 'text', (column) => column.notNull())
        .addColumn('disks', 'text', (column) => column.notNull())
        .addColumn('first_seen', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('assignments')
        .addColumn('machine', 'text', (column) => column.primaryKey())
        .addColumn('epoch', 'integer', (column) => column.notNull())
        .addColumn('revision', 'bigint', (column) => column.notNull())
        .addColumn('text', 'text', (column) => column.notNull())
        .addColumn('signature', 'text', (column) => column.notNull())
        .addColumn('told', 'text', (column) => column.notNull())
        .addColumn('changed_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('events')
        .addColumn('id', 'bigint', (column) => column.primaryKey())
        .addColumn('time', 'bigint', (column) => column.notNull())
        .addColumn('kind', 'text', (column) => column.notNull())
        .addColumn('severity', 'text', (column) => column.notNull())
        .addColumn('host', 'text')
        .addColumn('machine', 'text')
        .addColumn('message', 'text', (column) => column.notNull())
        .execute();
    },
  },
  '0003-ledgers': {
    async up(db) {
      await db.schema
        .createTable('ledgers')
        .addColumn('host', 'text', (column) => column.notNull())
        .addColumn('machine', 'text', (column) => column.notNull())
        .addColumn('n', 'bigint', (column) => column.notNull())
        .addColumn('hash', 'text', (column) => column.notNull())
        .addColumn('went_back_at', 'bigint')
        .addColumn('went_back', 'text')
        .addPrimaryKeyConstraint('ledgers_key', ['host', 'machine'])
        .execute();
    },
  },
};

// The file with the passphrase: read as the daemons read it, with a word about who else can read it.
import fs from 'node:fs';
import { HomewardError } from '../../core/errors.ts';
import { readPassphrase } from '../../core/identity/enrol.ts';

export interface PassphraseRead {
  passphrase: string;
  warnings: string[];
}

/** Throws 'no-such-file', 'passphrase-too-short', 'usage'. Line ends behind it do no harm. */
export function readPassphraseFile(file: string): PassphraseRead {
  if (fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new HomewardError('usage', `the passphrase file ${file} is a directory`, {
      hint: 'Give --passphrase-file a file with what `homeward passphrase show` prints.',
    });
  }
  const passphrase = readPassphrase(file);
  if (!/^[\x21-\x7e]+$/.test(passphrase)) {
    throw new HomewardError('usage', `the passphrase file ${file} holds more than a passphrase`, {
      hint: 'It has to be plain text in one line. An editor may have saved it as UTF-16.',
    });
  }
  const mode = fs.statSync(file).mode & 0o777;
  if ((mode & 0o077) === 0) return { passphrase, warnings: [] };
  const who = (mode & 0o007) === 0 ? 'the group of' : 'everybody on this host, not only';
  const octal = mode.toString(8).padStart(4, '0');
  return {
    passphrase,
    warnings: [`the passphrase file ${file} (${octal}) can be read by ${who} its owner: chmod 600 ${file}`],
  };
}

// Log lines in a file, for whoever keeps none in the journal.
import fs from 'node:fs';
import { writeToStderr } from './log.ts';
import { errnoOf } from './errors.ts';

/**
 * Writes each line to stderr, and with its time to the file. The file is opened anew for each line, so that
 * it may be moved away at any moment: nobody has to be told. What cannot be written there is on stderr.
 */
export function openLogFile(file: string): (line: string) => void {
  let failing: string | null = null;
  return (line) => {
    writeToStderr(line);
    try {
      fs.appendFileSync(file, `${new Date().toISOString()} ${line.replace(/^<\d>/, '')}`, { mode: 0o640 });
      failing = null;
    } catch (error) {
      // A full disk must not stop a daemon; it is said once.
      const errno = errnoOf(error) ?? 'unknown';
      if (failing !== errno)
        writeToStderr(`<4>level=warn event=log-file-failed file=${file} errno=${errno}\n`);
      failing = errno;
    }
  };
}

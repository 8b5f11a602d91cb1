// The newest lines of the log as they come: of the log file where there is one, else of the journal.
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { limits } from '../../core/limits.ts';
import { printable } from '../../core/printable.ts';

export interface LogTail {
  close(): void;
}

/** Calls `onLines` with the newest lines, at once and whenever there are more. */
export function followLog(
  { file, unit }: { file: string; unit: string },
  onLines: (lines: string[]) => void,
): LogTail {
  return file === '' ? followJournal(unit, onLines) : followFile(file, onLines);
}

function followFile(file: string, onLines: (lines: string[]) => void): LogTail {
  let last = '';
  const look = (): void => {
    const text = readEnd(file);
    if (text === last) return;
    last = text;
    onLines(linesOf(text));
  };
  look();
  if (last === '') onLines([`${file} is empty, or not there yet`]);
  const timer = setInterval(look, limits.screenLogMs);
  return { close: () => clearInterval(timer) };
}

function readEnd(file: string): string {
  try {
    const fd = fs.openSync(file, 'r');
    try {
      const { size } = fs.fstatSync(fd);
      const bytes = Buffer.alloc(Math.min(size, limits.screenLogBytes));
      const count = fs.readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString('utf8', 0, count);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return ''; // it is not there yet
  }
}

const linesOf = (text: string): string[] =>
  text.trimEnd().split('\n').slice(-limits.screenLogLines).map(printable);

function followJournal(unit: string, onLines: (lines: string[]) => void): LogTail {
  const lines: string[] = [];
  const count = String(limits.screenLogLines);
  const args = ['--unit', unit, '--follow', '--lines', count, '--output', 'short-iso', '--no-pager'];
  const child: ChildProcess = spawn('journalctl', args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C.UTF-8', SYSTEMD_COLORS: '0' },
  });
  child.on('error', () => onLines(['There is no journal here (journalctl is missing).']));
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(printable(line));
      lines.splice(0, lines.length - limits.screenLogLines);
      onLines([...lines]);
    });
  }
  return { close: () => void child.kill() };
}

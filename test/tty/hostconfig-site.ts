// An installed host for hostconfigcli: a configuration file, a data directory, a systemctl that says what the
// test wants.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { run, type Ended } from '../support/homeward.ts';
import { keys, pasted, TerminalScreen, type ScreenOptions } from '../support/screen.ts';
import { root } from '../support/source-files.ts';
import { temporaryDirectory } from '../support/temporary.ts';

export const hostconfigcli = path.join(root, 'bin/hostconfigcli');

export interface HostOptions {
  role?: string;
  /** Further lines for the file. */
  lines?: readonly string[];
}

export class ConfiguredHost {
  readonly directory: string;
  readonly config: string;
  readonly data: string;
  readonly #t: Test;

  constructor(t: Test, { role = 'MasterTarget', lines = [] }: HostOptions = {}) {
    this.#t = t;
    this.directory = temporaryDirectory(t);
    this.config = path.join(this.directory, 'etc/drscout.conf');
    this.data = path.join(this.directory, 'data');
    fs.mkdirSync(path.dirname(this.config));
    const text = ['# kept', '[vxagent]', `Role = ${role}`, '', '[homeward]', `DataDirectory = ${this.data}`];
    fs.writeFileSync(this.config, [...text, ...lines, ''].join('\n'));
    this.#makeSystemctl();
  }

  /** Says that the unit runs, and notes what it is asked to do. */
  #makeSystemctl(): void {
    const bin = path.join(this.directory, 'bin');
    fs.mkdirSync(bin);
    const script = [
      '#!/bin/sh',
      `echo "$@" >> ${this.directory}/systemctl.log`,
      `[ -f ${this.directory}/no-systemd ] && exit 1`,
      `[ "$1" = show ] && printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\n'`,
      'exit 0',
      '',
    ];
    fs.writeFileSync(path.join(bin, 'systemctl'), script.join('\n'), { mode: 0o755 });
    const journal = ['#!/bin/sh', 'echo "one line of the journal"', 'exec sleep 1000', ''];
    fs.writeFileSync(path.join(bin, 'journalctl'), journal.join('\n'), { mode: 0o755 });
  }

  /** Every call of systemctl that changes something. */
  get asked(): string[] {
    const file = path.join(this.directory, 'systemctl.log');
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    return text.split('\n').filter((line) => line !== '' && !line.startsWith('show '));
  }
  get path(): string {
    return `${path.join(this.directory, 'bin')}:${process.env['PATH'] ?? ''}`;
  }
  /** What stands in the file. */
  get text(): string {
    return fs.readFileSync(this.config, 'utf8');
  }
  setting(key: string): string | null {
    return new RegExp(`^${key} *= *(.*)$`, 'm').exec(this.text)?.[1] ?? null;
  }
  get isEnrolled(): boolean {
    return fs.existsSync(path.join(this.data, 'identity/cert.pem'));
  }

  /** The flags that say where this host is. */
  get places(): string[] {
    return ['--config', this.config, '--units', path.join(this.directory, 'units'), '--name', 'target-1'];
  }

  /** The screen, when its menu is there. */
  async open(options: Partial<ScreenOptions> = {}): Promise<TerminalScreen> {
    const screen = this.launch(options);
    await screen.until('Quit');
    return screen;
  }

  launch({ env = {}, args = [], ...options }: Partial<ScreenOptions> = {}): TerminalScreen {
    return new TerminalScreen(this.#t, {
      program: hostconfigcli,
      args: [...this.places, ...args],
      env: { PATH: this.path, ...env },
      ...options,
    });
  }

  /** Unattended. */
  run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    return run(hostconfigcli, [...this.places, ...args], { env: { PATH: this.path, ...env } });
  }

  /** Without a word about where this host is. */
  runBare(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    return run(hostconfigcli, args, { env: { PATH: this.path, ...env } });
  }
}

/** Fills the Global page and accepts. */
export async function accept(
  screen: TerminalScreen,
  { host = '127.0.0.1', port, passphrase }: { host?: string; port: number; passphrase: string },
): Promise<void> {
  screen.type(keys.enter);
  await screen.until('CX Server settings');
  screen.type(clear, host, keys.enter, clear, String(port), keys.enter, keys.enter);
  screen.type(pasted(passphrase), keys.enter);
  await screen.until(/> Enter Passphrase|\d+ characters/);
  screen.type(keys.enter);
}

/** Ctrl-U. */
export const clear = '\x15';

/** Leaves by the menu. */
export async function quit(screen: TerminalScreen): Promise<{ status: number; signal: number }> {
  screen.type(keys.end, keys.enter);
  return screen.ended();
}

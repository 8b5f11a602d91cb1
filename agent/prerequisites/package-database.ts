// Which packages a host has, asked of rpm or dpkg, and how more are installed: dnf, yum or apt-get.
import { limits } from '../../core/limits.ts';
import type { CheckContext } from './check.ts';
import { readDistribution } from './distribution.ts';
import type { CommandResult, Host } from './host.ts';

export type PackageFormat = 'rpm' | 'deb';

/** By the name of either distribution; null where it has none. */
export interface PackageNames {
  rpm: readonly string[] | null;
  deb: readonly string[] | null;
}

/** The database of the distribution; where both tools are there, os-release says which one counts. */
export async function packageFormat(host: Host): Promise<PackageFormat | null> {
  const family = readDistribution(host)?.family;
  const order: PackageFormat[] = family === 'debian' || family === 'ubuntu' ? ['deb', 'rpm'] : ['rpm', 'deb'];
  for (const format of order) {
    const program = format === 'rpm' ? 'rpm' : 'dpkg-query';
    if ((await host.run(program, ['--version']))?.status === 0) return format;
  }
  return null;
}

/** Those of `wanted` that none of their names provides; throws when the database cannot be asked. */
export async function missingPackages(
  host: Host,
  format: PackageFormat,
  wanted: readonly PackageNames[],
): Promise<string[]> {
  const names = wanted.map((one) => one[format]).filter((one) => one !== null);
  const all = names.flat();
  const installed = await (format === 'rpm' ? installedRpms(host, all) : installedDebs(host, all));
  return names.flatMap((one) => (one.some((name) => installed.has(name)) ? [] : one.slice(0, 1)));
}

/** What provides a name counts: EL 8 splits `perl`, EL 10 has `kdump-utils` beside `kexec-tools`. */
async function installedRpms(host: Host, names: readonly string[]): Promise<Set<string>> {
  const result = await host.run('rpm', ['-q', '--whatprovides', ...names]);
  const said = `${result?.stdout ?? ''}\n${result?.stderr ?? ''}`;
  if (result === null || !/^\S+-\S+$|no package provides/m.test(said)) throw notAsked('rpm', result);
  const missing = new Set([...said.matchAll(/no package provides (\S+)/g)].map(([, name = '']) => name));
  return new Set(names.filter((name) => !missing.has(name)));
}

async function installedDebs(host: Host, names: readonly string[]): Promise<Set<string>> {
  // It ends with 1 when it does not know one of them, which is an answer, too.
  const result = await host.run('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...names]);
  if (result === null || result.status > 1 || result.status < 0) throw notAsked('dpkg-query', result);
  return new Set([...result.stdout.matchAll(/^(\S+) installed$/gm)].map(([, name = '']) => name));
}

const notAsked = (program: string, result: CommandResult | null): Error =>
  new Error(`${program} does not answer: ${result?.stderr.trim() || 'it is not there'}`);

/** The line that a person types to install them. */
export async function installLine(
  host: Host,
  format: PackageFormat,
  names: readonly string[],
): Promise<string> {
  const installer = (await findInstaller(host, format)) ?? (format === 'rpm' ? 'dnf' : 'apt-get');
  return `sudo ${installer} install ${names.join(' ')}`;
}

/** Installs them; says what was done. Throws when nothing was, with what to type. */
export async function installPackages(
  host: Host,
  { offline }: Pick<CheckContext, 'offline'>,
  names: readonly string[],
): Promise<string> {
  if (names.length === 0) return 'nothing is missing';
  const format = await packageFormat(host);
  if (format === null) throw new Error('there is neither rpm nor dpkg');
  const line = await installLine(host, format, names);
  if (offline)
    throw new Error(`nothing is fetched with --offline: have a repository at hand, and run: ${line}`);
  if (host.uid !== 0) throw new Error(`this needs root: ${line}`);
  const installer = await findInstaller(host, format);
  if (installer === null) throw new Error(`there is no dnf, yum or apt-get for ${names.join(', ')}`);
  const install = (): Promise<CommandResult | null> => {
    const args =
      format === 'rpm' ? ['-y', 'install'] : ['-y', '--no-install-recommends', ...lockWait, 'install'];
    return host.run(installer, [...args, ...names], patience);
  };
  let result = await install();
  // The lists of a fresh Debian are empty, or older than what the mirror still has.
  if (result?.status !== 0 && format === 'deb') {
    await host.run(installer, ['update'], patience);
    result = await install();
  }
  if (result?.status !== 0) throw new Error(`${lastLine(result)}; try: ${line}`);
  return `installed ${names.join(', ')}`;
}

const patience = {
  timeoutMs: limits.packageInstallMs,
  // A question of a package would wait for an answer that nobody gives.
  environment: { DEBIAN_FRONTEND: 'noninteractive' },
};

/** Another one, such as that of unattended upgrades, may be at work. */
const lockWait = ['-o', 'DPkg::Lock::Timeout=120'];

const lastLine = (result: CommandResult | null): string => {
  const said = `${result?.stdout ?? ''}\n${result?.stderr ?? ''}`.trim().split('\n');
  return said.findLast((line) => /error|unable|no match|E:/i.test(line)) ?? said.at(-1) ?? 'it did not start';
};

async function findInstaller(host: Host, format: PackageFormat): Promise<string | null> {
  for (const program of format === 'rpm' ? ['dnf', 'yum'] : ['apt-get'])
    if ((await host.run(program, ['--version']))?.status === 0) return program;
  return null;
}

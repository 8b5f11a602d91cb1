// `packages`: what the distribution has to bring, as the original's instructions list it, and what we call.
import { fail, pass, skipped, type Check, type CheckContext } from './check.ts';
import type { Host } from './host.ts';
import {
  installLine,
  installPackages,
  missingPackages,
  packageFormat,
  type PackageFormat,
  type PackageNames,
} from './package-database.ts';

const same = (name: string): PackageNames => ({ rpm: [name], deb: [name] });

export const neededPackages: readonly PackageNames[] = [
  same('xfsprogs'),
  { rpm: ['perl', 'perl-interpreter'], deb: ['perl'] },
  { rpm: ['lsscsi'], deb: ['lsscsi'] },
  same('rsync'),
  { rpm: ['wget', 'wget2-wget'], deb: ['wget'] },
  same('kexec-tools'),
  // blkid, findmnt, lsblk
  same('util-linux'),
];

export const packages: Check = {
  id: 'packages',
  severity: 'advice',
  title: 'Packages',
  roles: ['master-target'],
  async run(host) {
    const format = await packageFormat(host);
    if (format === null) return skipped('there is neither rpm nor dpkg to ask');
    const missing = await missingPackages(host, format, neededPackages);
    if (missing.length > 0) {
      const line = await installLine(host, format, missing);
      return fail(`not installed: ${missing.join(', ')}`, `Run \`homeward check --fix\`, or: ${line}`);
    }
    return pass(`all are installed${await optionalWords(host, format)}`);
  },
  async fix(host: Host, context: CheckContext) {
    const format = await packageFormat(host);
    if (format === null) throw new Error('there is neither rpm nor dpkg');
    return installPackages(host, context, await missingPackages(host, format, neededPackages));
  },
};

/** Nothing fails without them but the one verb. */
const optional: readonly (PackageNames & { what: string })[] = [
  { rpm: ['libnbd'], deb: ['libnbd-bin'], what: 'view --mount' },
  { rpm: ['qemu-img'], deb: ['qemu-utils'], what: 'qcow2 and vmdk' },
];

async function optionalWords(host: Host, format: PackageFormat): Promise<string> {
  const missing: string[] = [];
  for (const one of optional) {
    const [name] = await missingPackages(host, format, [one]);
    if (name !== undefined) missing.push(`${name} (${one.what})`);
  }
  return missing.length === 0 ? '' : `; only if wanted: ${missing.join(', ')}`;
}

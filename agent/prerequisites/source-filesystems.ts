// `source-filesystems`: the tools for the file systems that protected machines have.
import { fail, pass, skipped, type Check, type CheckContext, type Finding } from './check.ts';
import { readDistribution } from './distribution.ts';
import type { Host } from './host.ts';
import { installLine, installPackages, packageFormat, type PackageNames } from './package-database.ts';

interface Tools extends PackageNames {
  /** As blkid names it. */
  kind: string;
  program: string;
}

const ext = { program: 'e2fsck', rpm: ['e2fsprogs'], deb: ['e2fsprogs'] } as const;

/** EL has no btrfs and no reiserfs since 8; ntfs-3g and reiserfs are in no kernel's way. */
const tools: readonly Tools[] = [
  { kind: 'xfs', program: 'xfs_repair', rpm: ['xfsprogs'], deb: ['xfsprogs'] },
  { kind: 'ext2', ...ext },
  { kind: 'ext3', ...ext },
  { kind: 'ext4', ...ext },
  { kind: 'btrfs', program: 'btrfs', rpm: null, deb: ['btrfs-progs'] },
  { kind: 'ntfs', program: 'ntfsfix', rpm: ['ntfs-3g'], deb: ['ntfs-3g'] },
  { kind: 'reiserfs', program: 'reiserfsck', rpm: null, deb: ['reiserfsprogs'] },
  { kind: 'vfat', program: 'fsck.fat', rpm: ['dosfstools'], deb: ['dosfstools'] },
];

/** Where it is not known yet what will be protected, what most machines have. */
const usual = ['xfs', 'ext4'];

export const sourceFilesystems: Check = {
  id: 'source-filesystems',
  severity: 'advice',
  title: 'File systems of protected machines',
  roles: ['master-target'],
  async run(host, context) {
    const missing = missingTools(host, context);
    const known = context.sourceFileSystems.length > 0;
    if (missing.length > 0) return tellMissing(host, missing);
    const others = tools.filter(({ kind, program }) => !usual.includes(kind) && !hasProgram(host, program));
    const named = [...new Set(others.map(({ kind }) => kind))];
    if (known || named.length === 0) return pass(`tools for ${wanted(context).join(', ')} are here`);
    return pass(`tools for xfs and ext4 are here; only if machines have them: ${named.join(', ')}`);
  },
  async fix(host, context) {
    const format = await packageFormat(host);
    const missing = missingTools(host, context);
    const names = format === null ? [] : missing.flatMap((one) => one[format]?.slice(0, 1) ?? []);
    if (names.length < missing.length && names.length === 0)
      throw new Error(`${readDistribution(host)?.name ?? 'this distribution'} has no package for them`);
    return installPackages(host, context, [...new Set(names)]);
  },
};

const wanted = ({ sourceFileSystems }: CheckContext): readonly string[] =>
  sourceFileSystems.length === 0 ? usual : sourceFileSystems;

const missingTools = (host: Host, context: CheckContext): Tools[] =>
  tools.filter(({ kind, program }) => wanted(context).includes(kind) && !hasProgram(host, program));

async function tellMissing(host: Host, missing: readonly Tools[]): Promise<Finding> {
  const kinds = missing.map(({ kind }) => kind).join(', ');
  const format = await packageFormat(host);
  if (format === null) return skipped(`there are no tools for ${kinds}, and neither rpm nor dpkg`);
  const names = missing.flatMap((one) => one[format]?.slice(0, 1) ?? []);
  const action =
    names.length === 0
      ? 'The distribution has no package for them: look into such file systems on another host.'
      : `Run \`homeward check --fix\`, or: ${await installLine(host, format, [...new Set(names)])}`;
  return fail(`no tools for ${kinds}: files in views and recovered disks cannot be looked at here`, action);
}

export function hasProgram(host: Host, program: string): boolean {
  return ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].some(
    (place) => host.stat(`${place}/${program}`) !== null,
  );
}

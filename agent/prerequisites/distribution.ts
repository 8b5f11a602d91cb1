// Which distribution a host has, by its own word in os-release, and which family of tools that means.
import type { Host } from './host.ts';

/** `el`: RHEL and its kin; `other` is told by its name. */
export type Family = 'el' | 'debian' | 'ubuntu' | 'other';

export interface Distribution {
  family: Family;
  id: string;
  /** As people know it: `Rocky Linux 9.4`. */
  name: string;
  major: number;
  minor: number;
}

/** Null where no os-release says it. */
export function readDistribution(host: Host): Distribution | null {
  const text = host.read('/etc/os-release') ?? host.read('/usr/lib/os-release');
  return text === null ? null : parseOsRelease(text);
}

export function parseOsRelease(text: string): Distribution {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|(.*))$/.exec(line.trim());
    if (match !== null) fields.set(match[1] ?? '', match[2] ?? match[3] ?? match[4] ?? '');
  }
  const id = fields.get('ID') ?? 'unknown';
  const kin = [id, ...(fields.get('ID_LIKE') ?? '').split(/\s+/)];
  const version = fields.get('VERSION_ID') ?? '';
  const [major = 0, minor = 0] = version.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  const name = fields.get('PRETTY_NAME') ?? `${fields.get('NAME') ?? id} ${version}`.trim();
  return { family: familyOf(id, kin), id, name, major, minor };
}

/** Others that are like Debian or Fedora have versions of their own, which say nothing here. */
function familyOf(id: string, kin: readonly string[]): Family {
  if (id === 'debian' || id === 'ubuntu') return id;
  const isEl = ['rhel', 'centos', 'rocky', 'almalinux', 'ol'].includes(id) || kin.includes('rhel');
  return isEl ? 'el' : 'other';
}

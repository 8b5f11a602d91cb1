// `lvm-quiet`: LVM, mdadm and automounters leave disks alone that this host does not use itself, as
// ApplyCustomChanges.sh arranges it; an arrangement of one's own counts as well.
import { fail, pass, type Check } from './check.ts';
import { applyAction, isInitramfsDue } from './custom-changes.ts';
import { readDistribution } from './distribution.ts';
import type { Host } from './host.ts';
import { hasProgram } from './source-filesystems.ts';

export const lvmQuiet: Check = {
  id: 'lvm-quiet',
  severity: 'hard-unless-accepted',
  title: 'LVM and automounters',
  roles: ['master-target'],
  async run(host) {
    const faults = [lvmFault(host), mdadmFault(host), udisksFault(host), osProberFault(host)];
    if (isInitramfsDue(host)) faults.push('the initramfs was not rebuilt: at boot nothing of it holds');
    const found = faults.filter((fault) => fault !== null);
    if (found.length === 0) return pass('LVM, mdadm and automounters see the disks of this host alone');
    return fail(found.join('; '), applyAction(host));
  },
};

function lvmFault(host: Host): string | null {
  if (!hasProgram(host, 'lvm') && host.stat('/etc/lvm') === null) return null;
  // What is local goes over what is general.
  const texts = ['/etc/lvm/lvm.conf', '/etc/lvm/lvmlocal.conf'].map((file) => host.read(file) ?? '');
  const filter = texts.map((text) => settingOf(text, 'global_filter')).findLast((one) => one !== null);
  if (goesByDevicesFile(host, texts)) return null;
  if (filter !== undefined && rejectsTheRest(filter)) return null;
  return 'LVM looks at every disk, and may activate what a replica carries';
}

/** Where EL goes by the file, or somebody has said so. Without the file LVM would look at everything. */
function goesByDevicesFile(host: Host, texts: readonly string[]): boolean {
  const said = texts.map((text) => settingOf(text, 'use_devicesfile')).findLast((one) => one !== null);
  const distribution = readDistribution(host);
  const usual = distribution?.family === 'el' && distribution.major >= 9 && hasProgram(host, 'lvmdevices');
  const isUsed = said === undefined ? usual : said.startsWith('1');
  return isUsed && host.stat('/etc/lvm/devices/system.devices') !== null;
}

/** The value of a setting that is not commented out; a list may go over several lines. */
export function settingOf(text: string, key: string): string | null {
  const plain = text.replaceAll(/^[ \t]*#.*$/gm, '');
  const match = new RegExp(
    `^[ \\t]*(?:devices/)?${key}[ \\t]*=[ \\t]*(\\[[^]*?\\][ \\t]*$|[^\\n]*)`,
    'm',
  ).exec(plain);
  return match?.[1]?.trim() ?? null;
}

/** The last pattern takes out whatever none before it let in. */
export function rejectsTheRest(filter: string): boolean {
  const patterns = [...filter.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, pattern = '']) => pattern);
  return /^r(.)(?:\^?(?:\/dev\/)?\.\*\$?)?\1$/.test(patterns.at(-1) ?? '');
}

function mdadmFault(host: Host): string | null {
  if (!hasProgram(host, 'mdadm')) return null;
  const text = host.read('/etc/mdadm.conf') ?? host.read('/etc/mdadm/mdadm.conf') ?? '';
  const words = /^[ \t]*AUTO[ \t]+(.*)$/im.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
  const at = words.indexOf('-all');
  const isQuiet = at !== -1 && words.slice(0, at).every((word) => word === '+imsm' || word === '+ddf');
  return isQuiet ? null : 'mdadm assembles every array that it finds';
}

function udisksFault(host: Host): string | null {
  if (!hasProgram(host, 'udisksctl') && host.stat('/usr/libexec/udisks2') === null) return null;
  const rules = host.list('/etc/udev/rules.d') ?? [];
  const quiet = rules.some((name) => {
    const text = host.read(`/etc/udev/rules.d/${name}`) ?? '';
    return name.endsWith('.rules') && /^[^#]*ENV\{UDISKS_IGNORE\}\s*=\s*"1"/m.test(text);
  });
  return quiet ? null : 'udisks may mount what a replica carries';
}

function osProberFault(host: Host): string | null {
  const text = host.read('/etc/default/grub');
  if (text === null || (!hasProgram(host, 'os-prober') && host.stat('/etc/grub.d/30_os-prober') === null))
    return null;
  const said = [...text.matchAll(/^[ \t]*(?:export[ \t]+)?GRUB_DISABLE_OS_PROBER=["']?(\w+)/gm)].at(-1)?.[1];
  return said === 'true' ? null : 'os-prober mounts what it finds on replicas whenever the boot menu is made';
}

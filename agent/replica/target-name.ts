// The name by which a target disk is remembered: its own, never the order in which the kernel found it.
import { HomewardError } from '../../core/errors.ts';
import {
  byIdDirectory,
  isUnstablePath,
  readDiskIdentity,
  readDeviceLinks,
  type DeviceFiles,
} from './disk-identity.ts';

export const enableUuidAdvice = {
  vmware:
    'Shut the virtual machine down. In vSphere, under Edit Settings, VM Options, Advanced, Edit ' +
    'Configuration, add disk.EnableUUID with the value TRUE (in its .vmx file: disk.EnableUUID = "TRUE"). ' +
    'Start it.',
  any:
    'Give each disk a serial number or a WWN where it is defined. On VMware: set disk.EnableUUID = "TRUE" ' +
    'in the configuration of the virtual machine (its .vmx file) while it is off.',
} as const;

/**
 * `given` as it is to be stored: a name in /dev/disk/by-id, where it is one that may lead to another disk
 * after a restart. A path that stays, and one that is not there or not free, is left as it is. Throws
 * 'target-nameless' for a disk that has no name of its own, or shares it.
 */
export function targetName(files: DeviceFiles, given: string): string {
  if (!given.includes('/') || given.startsWith(`${byIdDirectory}/`)) return given;
  const path = files.realPath(given);
  if (path === null || !path.startsWith('/dev/')) return given;
  if (!isUnstablePath(path) && !given.startsWith('/dev/disk/')) return given;
  const kernelName = path.slice('/dev/'.length);
  // One path of several to a disk: it is refused as in use, by the name of what holds it.
  if ((files.list(`/sys/class/block/${kernelName}/holders`) ?? []).length > 0) return given;
  const twins = disksLike(files, kernelName);
  const [name] = readDeviceLinks(files).get(path) ?? [];
  if (name !== undefined && twins.length === 0) return name;
  if (given.startsWith('/dev/mapper/')) return given;
  throw nameless(path, twins, readDiskIdentity(files, kernelName).wwid);
}

/** Other disks that show the same WWID: a link in by-id leads to any of them. */
function disksLike(files: DeviceFiles, name: string): string[] {
  const wwidOf = (disk: string): string | null =>
    files.read(`/sys/class/block/${disk}/device/wwid`) ?? files.read(`/sys/class/block/${disk}/wwid`);
  const own = wwidOf(name);
  if (own === null) return [];
  // The paths of a native NVMe multipath are hidden; they are the same disk.
  const isHidden = (disk: string): boolean => files.read(`/sys/class/block/${disk}/hidden`)?.trim() === '1';
  return (files.list('/sys/class/block') ?? []).filter(
    (other) => other !== name && wwidOf(other) === own && !isHidden(other),
  );
}

function nameless(path: string, twins: readonly string[], wwid: string | null): HomewardError {
  if (twins.length > 0) {
    const message = `${path} shows the WWID ${wwid ?? ''}, as ${twins.join(', ')} does`;
    return new HomewardError('target-nameless', message, {
      hint: 'Give each disk an identity of its own; `homeward check` says more under uuid-unique.',
    });
  }
  if (wwid === null) {
    const message = `${path} shows no identity: after a restart that name may be another disk's`;
    return new HomewardError('target-nameless', message, { hint: enableUuidAdvice.any });
  }
  return new HomewardError(
    'target-nameless',
    `${path} has the WWID ${wwid}, but no link in ${byIdDirectory} leads to it`,
    { hint: 'udev makes these links: see that it runs, or `udevadm trigger` them.' },
  );
}

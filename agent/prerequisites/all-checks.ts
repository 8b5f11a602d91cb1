// Every check of a host, in the order in which they are shown; docs/checks.md lists the same.
import type { Check } from './check.ts';
import { clock } from './clock.ts';
import { cpu } from './cpu.ts';
import { diskChecks } from './disk-checks.ts';
import { firewall } from './firewall.ts';
import { glibc } from './glibc.ts';
import { lvmQuiet } from './lvm-quiet.ts';
import { memory } from './memory.ts';
import { multipath } from './multipath.ts';
import { nameResolution } from './name-resolution.ts';
import { osSupported } from './os-supported.ts';
import { packages } from './packages.ts';
import { ports } from './ports.ts';
import { selinux } from './selinux.ts';
import { sourceFilesystems } from './source-filesystems.ts';
import { version } from './version.ts';

export const allChecks: readonly Check[] = [
  osSupported,
  glibc,
  ...diskChecks,
  packages,
  sourceFilesystems,
  lvmQuiet,
  multipath,
  clock,
  nameResolution,
  ports,
  version,
  memory,
  cpu,
  selinux,
  firewall,
];

// `os-supported`: a distribution that Homeward is made for, on a processor that it is built for.
import { fail, pass, warn, type Check, type Finding } from './check.ts';
import { readDistribution, type Distribution } from './distribution.ts';

const supported = 'EL 8, 9 or 10 and its kin, Debian 11 or later, Ubuntu 20.04 or later';

export const osSupported: Check = {
  id: 'os-supported',
  severity: 'advice',
  title: 'Operating system',
  async run(host) {
    if (host.architecture !== 'x64' && host.architecture !== 'arm64')
      return fail(`the processor is ${host.architecture}`, 'Use a host with an x86-64 processor.');
    const found = readDistribution(host);
    if (found === null)
      return warn('there is no os-release that says which system this is', `Use ${supported}.`);
    return judgeDistribution(found);
  },
};

function judgeDistribution({ family, name, major, minor }: Distribution): Finding {
  switch (family) {
    case 'el':
      if (major < 8) return fail(`${name}: ${whyNotSeven}`, 'Use a host with EL 8 or later.');
      return major <= 10 ? pass(name) : warn(`${name} is newer than this version knows`, null);
    case 'debian':
      // Testing and unstable have no version.
      if (major === 0) return warn(`${name} has no version yet`, null);
      return major >= 11 ? pass(name) : fail(`${name} is too old`, 'Use a host with Debian 11 or later.');
    case 'ubuntu': {
      const isNew = major > 20 || (major === 20 && minor >= 4);
      return isNew ? pass(name) : fail(`${name} is too old`, 'Use a host with Ubuntu 20.04 or later.');
    }
    case 'other':
      return warn(`${name} has not been tried`, `It may work; what is looked after is ${supported}.`);
  }
}

const whyNotSeven =
  'its C library, glibc 2.17, is older than the 2.28 that the programs need, and it gets no updates any more';

// `glibc`: a C library that the programs can run with.
import { fail, pass, type Check } from './check.ts';
import type { Host } from './host.ts';

/** That of EL 8: what Node's own builds ask for. */
const least = [2, 28] as const;

export const glibc: Check = {
  id: 'glibc',
  severity: 'hard',
  title: 'C library',
  async run(host) {
    const version = await readVersion(host);
    const action =
      'Use a host with EL 8, Debian 11, Ubuntu 20.04 or later: the C library cannot be replaced.';
    if (version === null)
      return fail('this is not the GNU C library, or it does not say its version', action);
    const [major, minor] = version;
    const found = `glibc ${major}.${minor}`;
    const isNew = major > least[0] || (major === least[0] && minor >= least[1]);
    return isNew ? pass(found) : fail(`${found} is older than ${least.join('.')}`, action);
  },
};

async function readVersion(host: Host): Promise<[number, number] | null> {
  const asked = await host.run('getconf', ['GNU_LIBC_VERSION']);
  const said = asked?.status === 0 ? asked : await host.run('ldd', ['--version']);
  const match = /(?:glibc|GNU libc|GLIBC)[^\n]*?(\d+)\.(\d+)/i.exec(said?.stdout ?? '');
  return match === null ? null : [Number(match[1]), Number(match[2])];
}

// `multipath`: nothing lays itself over the disk of a replica, which is told by its own identity.
import { fail, pass, type Check } from './check.ts';
import { applyAction } from './custom-changes.ts';
import type { Host } from './host.ts';
import { hasProgram } from './source-filesystems.ts';

export const multipath: Check = {
  id: 'multipath',
  severity: 'advice',
  title: 'Multipath',
  roles: ['master-target'],
  async run(host) {
    const isThere = hasProgram(host, 'multipathd') || host.stat('/etc/multipath.conf') !== null;
    if (!isThere) return pass('multipath is not installed');
    const texts = configuration(host);
    if (texts.some(takesNothing) && !texts.some(takesAll))
      return pass('multipath takes no disk but those in use through it');
    return fail('multipath may take the disk of a replica', applyAction(host));
  },
};

function configuration(host: Host): string[] {
  const parts = (host.list('/etc/multipath/conf.d') ?? []).filter((name) => name.endsWith('.conf'));
  return ['/etc/multipath.conf', ...parts.map((name) => `/etc/multipath/conf.d/${name}`)].map(
    (file) => host.read(file) ?? '',
  );
}

const takesNothing = (text: string): boolean => sections(text, 'blacklist').some(isAboutAll);
/** An exception from a blacklist of everything may take all of it back. */
const takesAll = (text: string): boolean => sections(text, 'blacklist_exceptions').some(isAboutAll);

const isAboutAll = (body: string): boolean =>
  /^[ \t]*(?:wwid|devnode)[ \t]+"?(?:\.\*|\*|\^\.\*)"?[ \t]*$/m.test(body);

function sections(text: string, name: string): string[] {
  const plain = text.replaceAll(/^[ \t]*[#!].*$/gm, '');
  const found = plain.matchAll(new RegExp(`^[ \\t]*${name}[ \\t]*\\{([^}]*)\\}`, 'gm'));
  return [...found].map(([, body = '']) => body);
}

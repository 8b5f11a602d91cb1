// `homeward mobility`: the service beside a protected machine, in the foreground, until SIGTERM or Ctrl-C.
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { required, resolveListen, type Resolve } from '../operands.ts';
import type { Verb } from '../session.ts';

export interface MobilityOptions {
  data?: string;
  machine?: string;
  /** NAME=PATH each. */
  disk?: string[];
  /** Not yet: see below. */
  scan?: string[];
  listen?: string;
  configServer?: string;
  passphraseFile?: string;
  customScript?: string;
  config?: string;
}

export const mobility: Verb<MobilityOptions> = async (session, operands, options) => {
  const optional = (name: 'passphraseFile' | 'customScript' | 'config'): Record<string, string> => {
    const value = options[name];
    return value === undefined ? {} : { [name]: session.resolve(value) };
  };
  if (options.scan !== undefined)
    throw new HomewardError('not-in-this-version', 'disks that are read again and again are not there yet');
  const data = session.resolve(required(options.data, '--data'));
  const machine = required(options.machine, '--machine');
  const disks = parseCaptured([...(options.disk ?? []), ...operands], session.resolve);
  const listen = resolveListen(required(options.listen, '--listen'), session.resolve);
  const configServer = required(options.configServer, '--config-server');
  const { start } = await import('../../mobility/main.ts');
  await start(
    {
      data,
      machine,
      disks,
      listen,
      configServer,
      ...optional('passphraseFile'),
      ...optional('customScript'),
      ...optional('config'),
      onReady: (ready) => {
        session.result({ ready }, () => `ready: machine ${machine}, listen ${ready.listen}\n`);
      },
    },
    session.io.interrupts(),
  );
};

/** Reads NAME=PATH of each disk. */
export function parseCaptured(texts: readonly string[], resolve: Resolve): { name: string; path: string }[] {
  const hint = 'Name each disk and what it lies on, for example --disk root=/dev/vg/root.';
  if (texts.length === 0) throw new HomewardError('usage', '--disk is missing', { hint });
  if (texts.length > limits.disksPerMachine) {
    const most = `a machine has ${limits.disksPerMachine} at the most`;
    throw new HomewardError('usage', `--disk names ${texts.length} disks; ${most}`);
  }
  return texts.map((text) => {
    const [, name, path] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || path === undefined)
      throw new HomewardError('usage', `"${text}" is not a disk`, { hint });
    return { name, path: resolve(path) };
  });
}

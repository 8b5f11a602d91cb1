// `homeward mobility`: the service beside a protected machine, in the foreground, until SIGTERM or Ctrl-C.
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { required, resolveListen, type Resolve } from '../operands.ts';
import type { NamedMachine } from '../../mobility/main.ts';
import { dataOption, runService } from '../run-service.ts';
import { parseDuration } from '../../core/units.ts';
import type { Session, Verb } from '../session.ts';

type ScanOrder = NonNullable<NamedMachine['scan']>;

export interface MobilityOptions {
  data?: string;
  machine?: string;
  /** NAME=PATH each. */
  disk?: string[];
  /** NAME=PATH each. */
  scan?: string[];
  every?: string;
  before?: string;
  after?: string;
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
  const machine = namedMachine(session, operands, options);
  const { configServer } = options;
  const { start } = await import('../../mobility/main.ts');
  await runService(session, (signal, ready) =>
    start(
      {
        ...(machine === null ? {} : { machine }),
        ...(configServer === undefined ? {} : { configServer }),
        ...dataOption(session, options.data),
        ...optional('passphraseFile'),
        ...optional('customScript'),
        ...optional('config'),
        onReady: (serving) => {
          const where = serving.listen === null ? '' : `, listen ${serving.listen}`;
          session.result({ ready: serving }, () => `ready: machine ${serving.name}${where}\n`);
          ready(`protecting ${serving.name}${where}`);
        },
      },
      signal,
    ),
  );
};

/** What the command line names; null when it names nothing and the configuration file is to. */
function namedMachine(
  session: Session,
  operands: readonly string[],
  options: MobilityOptions,
): NamedMachine | null {
  const { disk, scan: scans, listen: place } = options;
  const isNamed = [options.machine, disk, scans, place].some((each) => each !== undefined);
  if (options.config !== undefined && operands.length === 0 && !isNamed) return null;
  const machine = required(options.machine, '--machine');
  const { served, scanned } = divide(options, operands);
  const disks = parseDisks('--disk', served, session.resolve);
  const scan = parseScan(scanned, options, session.resolve);
  if (served.length === 0 && scan === null)
    throw new HomewardError('usage', '--disk or --scan is missing', { hint: diskHint });
  if (served.length + scanned.length > limits.disksPerMachine) {
    const most = `a machine has ${limits.disksPerMachine} at the most`;
    throw new HomewardError('usage', `${served.length + scanned.length} disks are named; ${most}`);
  }
  const listen =
    served.length === 0 ? null : resolveListen(required(options.listen, '--listen'), session.resolve);
  return { machine, disks, ...(scan === null ? {} : { scan }), listen };
}

const diskHint = 'Name each disk and what it lies on, for example --disk root=/dev/vg/root.';
const everyUsual = '15m';

/** Names without an option belong to the disks that are served, or scanned when no other is served. */
function divide(
  { disk = [], scan = [] }: MobilityOptions,
  operands: readonly string[],
): { served: string[]; scanned: string[] } {
  if (disk.length === 0 && scan.length > 0) return { served: [], scanned: [...scan, ...operands] };
  return { served: [...disk, ...operands], scanned: scan };
}

function parseScan(texts: readonly string[], options: MobilityOptions, resolve: Resolve): ScanOrder | null {
  const { every, before, after } = options;
  if (texts.length === 0) {
    const needless = Object.entries({ every, before, after }).find(([, value]) => value !== undefined);
    if (needless === undefined) return null;
    throw new HomewardError('usage', `--${needless[0]} is about scans, but no --scan is given`);
  }
  const everyMs = parseDuration(every ?? everyUsual);
  const commands = { before: before ?? null, after: after ?? null };
  return { disks: parseDisks('--scan', texts, resolve), everyMs, ...commands };
}

/** Reads NAME=PATH of each disk. */
export function parseDisks(
  flag: string,
  texts: readonly string[],
  resolve: Resolve,
): { name: string; path: string }[] {
  return texts.map((text) => {
    const [, name, path] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || path === undefined)
      throw new HomewardError('usage', `"${text}" is not a disk of ${flag}`, { hint: diskHint });
    return { name, path: resolve(path) };
  });
}

// hostconfigcli without a screen: the same checks, the same messages, and exit codes.
import { isIP } from 'node:net';
import type { Config } from '../core/config.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import { formatAddress, type Address } from '../core/identity/address.ts';
import { limits } from '../core/limits.ts';
import { spellSetting } from '../core/setting-value.ts';
import { settings as allSettings } from '../core/settings.ts';
import { parseDuration } from '../core/units.ts';
import { applyChanges, applyServer, checkPlaces } from './actions/apply.ts';
import { checkChanges } from './actions/config-file.ts';
import { findFault } from './actions/find-fault.ts';
import { readPassphraseFile } from './actions/passphrase-file.ts';
import type { Places } from './actions/places.ts';
import { readStatus } from './actions/read-status.ts';
import { volumeRows } from './actions/volume-rows.ts';
import type { Flags } from './flags.ts';
import { canSelect, isServer } from './model/agent-roles.ts';
import { serverChanges } from './model/press-page.ts';
import type { Changes, Fault } from './model/model.ts';
import { progressLines } from './model/progress.ts';
import { isHost, readServer } from './model/server-address.ts';
import { statusParts } from './model/status-line.ts';

export interface Answer {
  /** The JSON document, and the same for people. */
  document: unknown;
  text: string;
}

export interface Order {
  flags: Flags;
  places: Places;
  settings: Config;
  resolve(file: string): string;
  /** For people, while it lasts. */
  note(text: string): void;
  signal: AbortSignal;
}

/**
 * `--show`: every setting as it counts for the daemon, spelled as in its file, and the status. There are no
 * secrets among them.
 */
export async function show({ places, settings }: Order): Promise<Answer> {
  const { enrolled, registered, contactSeconds, service } = await readStatus(places, settings);
  const status = { enrolled, registered, contactSeconds, service };
  const document = { file: places.config, data: places.data, unit: places.unit, settings, status };
  const lines = [
    `# ${places.config}`,
    ...['vxagent', 'homeward'].flatMap((section) => [`[${section}]`, ...spelledIn(section, settings)]),
    `# ${statusParts(status, settings.role).join(' | ')}`,
  ];
  return { document, text: `${lines.join('\n')}\n` };
}

const spelledIn = (section: string, values: Config): string[] =>
  allSettings
    .filter((setting) => setting.section === section)
    .map((setting) => `${setting.key} = ${spellSetting(setting, values[setting.name])}`.trimEnd());

export async function showVolumes({ places }: Order): Promise<Answer> {
  const { judgeVolumes } = await import('../agent/prerequisites/client.ts');
  const volumes = await judgeVolumes(places.data);
  const text = volumeRows(volumes)
    .map(({ text: place, detail }) => `${place}  ${detail}\n`)
    .join('');
  return { document: { volumes }, text: text === '' ? 'No volume is mounted.\n' : text };
}

/** Carries out what the flags say. Throws what is wrong; then nothing has been saved. */
export async function carryOut(order: Order): Promise<Answer> {
  const { flags, places } = order;
  const changes = readChanges(flags);
  checkChanges(changes);
  checkHistory(order, changes);
  if (flags.runAlone === true && isServer(order.settings.role)) {
    throw new HomewardError(
      'usage',
      `a host with the role ${order.settings.role} is the configuration server`,
      {
        hint: 'Leave --run-alone out here: there is no other server that it would use.',
      },
    );
  }
  if (flags.saveAnyway !== true) await checkPlaces(places, changes);
  const server = readServerFlags(order);
  if (server === null) {
    const alone = flags.runAlone === true ? { ConfigServerAddress: '' } : {};
    const { lines } = await applyChanges(places, { ...changes, ...alone }, ['Saved.']);
    return answerOf({ saved: true, lines, registered: null, warnings: [], problem: null });
  }
  return registerWith(order, server, changes);
}

function checkHistory({ settings: { role } }: Order, changes: Changes): void {
  const { RetentionVolume = '', ReplicaDirectory = '' } = changes;
  if (RetentionVolume + ReplicaDirectory === '' || canSelect(role, 'retention')) return;
  throw new HomewardError('usage', `a host with the role ${role} keeps no history`, {
    hint: 'Leave --retention and --replicas out here; a master target has them.',
  });
}

interface Outcome {
  saved: true;
  lines: readonly string[];
  registered: { server: string; hostId: string } | null;
  warnings: readonly string[];
  problem: Problem | null;
}

type Problem = Pick<Fault, 'code' | 'what' | 'hint'>;

function answerOf({ saved, lines, registered, warnings, problem }: Outcome): Answer {
  const error = problem === null ? null : { code: problem.code, message: problem.what, hint: problem.hint };
  const document = { saved, registered, warnings, problem: error, done: lines };
  return { document, text: lines.map((line) => `${line}\n`).join('') };
}

async function registerWith(order: Order, server: Address, changes: Changes): Promise<Answer> {
  const { flags, places, note } = order;
  const waitMs = readWait(flags);
  const { passphrase, warnings } = readPassphraseFlag(order);
  for (const warning of warnings) note(`warning: ${warning}\n`);
  const onProgress = (text: string): void => note(`${progressLines(text).join('\n')}\n`);
  try {
    const { hostId, lines } = await applyServer(places, {
      ...{ server, passphrase, changes, onProgress, waitMs },
      name: flags.name ?? null,
      signal: order.signal,
    });
    const registered = { server: formatAddress(server.host, server.port), hostId };
    return answerOf({ saved: true, lines, registered, warnings, problem: null });
  } catch (thrown) {
    const fault = await findFault(thrown, server, order.signal);
    const problem = inFlags(fault);
    const { what, hint } = problem;
    if (flags.saveAnyway !== true || !fault.canSave) {
      throw new HomewardError(toHomewardError(thrown).code, what, { hint, cause: thrown });
    }
    note(`${what}\n${hint}\n`);
    const says = ['Saved, but this host is not registered: the server could not be used.'];
    const { lines } = await applyChanges(places, { ...changes, ...serverChanges(server) }, says);
    return answerOf({ saved: true, lines, registered: null, warnings, problem });
  }
}

/** In the words of the screen, but for the key that it offers. */
function inFlags({ code, what, hint, usualPort }: Fault): Problem {
  return { code, what, hint: usualPort === null ? hint : `${hint} Give --port ${usualPort}.` };
}

function readWait({ wait }: Flags): number {
  if (wait === undefined) return limits.approvalWaitMs;
  return wait === '0' ? 0 : parseDuration(wait);
}

/** Null when no flag is about a configuration server. */
function readServerFlags({ flags, settings }: Order): Address | null {
  const { address, port, https, passphraseFile } = flags;
  if ([address, port, https, passphraseFile].every((flag) => flag === undefined)) return null;
  if (https !== undefined && !/^(?:yes|true|on|1|y)$/i.test(https)) {
    throw new HomewardError('usage', 'The configuration server speaks https and nothing else', {
      hint: 'Leave --https away, or give --https yes.',
    });
  }
  const named = readServer(address ?? '', '');
  if (port !== undefined && !('problem' in named) && String(named.port) !== port.trim())
    throw new HomewardError('usage', `--address names port ${named.port}, and --port ${port}`, {
      hint: 'Give one port.',
    });
  const server = readServer(
    address ?? settings.configServerAddress,
    port ?? String(settings.configServerPort),
  );
  if (!('problem' in server)) return server;
  const hint = address === undefined ? 'Give --address and --port.' : 'Correct --address or --port.';
  throw new HomewardError('usage', server.problem, { hint });
}

function readPassphraseFlag({ flags, resolve }: Order): { passphrase: string | null; warnings: string[] } {
  if (flags.passphraseFile === undefined) return { passphrase: null, warnings: [] };
  return readPassphraseFile(resolve(flags.passphraseFile));
}

/** What the flags for the other pages change. Values are checked when they are written, too. */
function readChanges({
  role,
  retention,
  replicas,
  cache,
  natHost,
  natIp,
  logLevel,
  logFile,
}: Flags): Changes {
  if (natHost !== undefined && natHost !== '' && (!isHost(natHost) || isIP(natHost) !== 0)) {
    throw new HomewardError('usage', `${JSON.stringify(natHost)} is no host name`, {
      hint: 'Check --nat-host.',
    });
  }
  if (natIp !== undefined && natIp !== '' && isIP(natIp) === 0) {
    throw new HomewardError('usage', `${JSON.stringify(natIp)} is no IP address`, {
      hint: 'Check --nat-ip.',
    });
  }
  return {
    ...(role === undefined ? {} : { Role: role }),
    ...(retention === undefined ? {} : { RetentionVolume: retention }),
    ...(replicas === undefined ? {} : { ReplicaDirectory: replicas }),
    ...(cache === undefined ? {} : { CacheDirectory: cache }),
    ...(natHost === undefined ? {} : { NatHostName: natHost }),
    ...(natIp === undefined ? {} : { NatIpAddress: natIp }),
    ...(logLevel === undefined ? {} : { LogLevel: logLevel }),
    ...(logFile === undefined ? {} : { LogFile: logFile }),
  };
}

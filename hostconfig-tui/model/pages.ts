// The four pages: their fields from the settings, and the settings from their fields.
import { isIP } from 'node:net';
import { LogLevel } from '../../core/log.ts';
import { canSelect } from './agent-roles.ts';
import type { Field } from './field.ts';
import type { Changes, HostSettings, Model } from './model.ts';
import { choiceOf, newPage, PageId, saysYes, textField, textOf, type Button, type Page } from './page.ts';
import { isHost } from './server-address.ts';

export const accept: Button = { id: 'accept', label: 'Accept' };
export const runAlone: Button = { id: 'run-alone', label: 'Run alone' };
export const saveAnyway: Button = { id: 'save-anyway', label: 'Save anyway' };
export const usePort = (port: number): Button => ({ id: 'use-port', label: `Use port ${port}` });

export const buttonsOf = (id: PageId): readonly Button[] =>
  id === PageId.global ? [accept, runAlone] : [accept];

type Known = Pick<Model, 'settings' | 'status'>;

export function openPage(id: PageId, known: Known): Page {
  switch (id) {
    case 'global':
      return newPage(id, 'CX Server settings', globalFields(known));
    case 'agent':
      return newPage(id, 'Agent settings', agentFields(known));
    case 'nat':
      return newPage(id, 'NAT settings', natFields(known.settings));
    case 'logging':
      return { ...newPage(id, 'Logging settings', loggingFields(known.settings)), tail: [] };
  }
}

const buttonsField = (id: PageId): Field => ({
  ...{ kind: 'buttons', id: 'buttons', label: '' },
  ...{ buttons: buttonsOf(id), at: 0 },
});

function globalFields({ settings, status }: Known): Field[] {
  return [
    textField({ id: 'address', label: 'Enter IP Address', value: settings.configServerAddress }),
    textField({ id: 'port', label: 'Enter Port number', value: String(settings.configServerPort) }),
    { kind: 'yes-no', id: 'https', label: 'Use https', value: settings.useHttps },
    textField({
      ...{ id: 'passphrase', label: 'Enter Passphrase', value: '', echo: 'count' },
      rest: status.enrolled ? 'Enrolled' : '',
    }),
    buttonsField('global'),
  ];
}

function agentFields({ settings, status }: Known): Field[] {
  const { role, retentionVolume, replicaDirectory, cacheDirectory } = settings;
  const hostId = status.registered?.hostId ?? settings.hostId;
  return [
    { kind: 'shown', id: 'role', label: 'Role', value: roleNames[role] },
    { kind: 'shown', id: 'host-id', label: 'Host id', value: hostId === '' ? 'none yet' : hostId },
    ...(canSelect(role, 'retention')
      ? ([
          textField({
            ...{ id: 'retention', label: 'Retention volume', value: retentionVolume },
            rest: 'retention/ in the data directory',
          }),
          { kind: 'list', id: 'volumes', label: 'Volumes here', rows: [], at: 0, rest: 'Looking ...' },
          textField({
            ...{ id: 'replicas', label: 'Datastore for replicas', value: replicaDirectory },
            rest: 'replicas/ in the data directory',
          }),
        ] satisfies Field[])
      : []),
    textField({ id: 'cache', label: 'Cache directory', value: cacheDirectory, rest: 'none' }),
    buttonsField('agent'),
  ];
}

export const roleNames: Readonly<Record<HostSettings['role'], string>> = {
  Agent: 'Mobility Service',
  MasterTarget: 'Master Target',
  ConfigServer: 'Configuration Server',
  ProcessServer: 'Process Server',
  AllInOne: 'All in one',
};

function natFields({ natHostName, natIpAddress }: HostSettings): Field[] {
  return [
    { kind: 'yes-no', id: 'has-name', label: 'Fixed NAT host name', value: natHostName !== '' },
    textField({
      ...{ id: 'name', label: 'Enter NAT host name', value: natHostName },
      onlyWhen: 'has-name',
    }),
    { kind: 'yes-no', id: 'has-ip', label: 'Fixed NAT IP address', value: natIpAddress !== '' },
    textField({
      ...{ id: 'ip', label: 'Enter NAT IP address', value: natIpAddress },
      onlyWhen: 'has-ip',
    }),
    buttonsField('nat'),
  ];
}

const levels = Object.keys(LogLevel);

function loggingFields({ logLevel, logFile }: HostSettings): Field[] {
  const at = Math.max(levels.indexOf(logLevel), 0);
  return [
    { kind: 'choice', id: 'level', label: 'Level', choices: levels, at },
    textField({ id: 'file', label: 'Also into the file', value: logFile, rest: 'the journal alone' }),
    buttonsField('logging'),
  ];
}

/** What a page says that is to be written, or what is wrong with it and in which field. */
export type PageRead = { changes: Changes } | { problem: string; field: string };

export function readAgentPage(page: Page): PageRead {
  const changes: Changes = {};
  for (const [id, key] of [
    ['retention', 'RetentionVolume'],
    ['replicas', 'ReplicaDirectory'],
    ['cache', 'CacheDirectory'],
  ] as const) {
    if (!page.fields.some((field) => field.id === id)) continue;
    const value = textOf(page, id);
    if (value !== '' && !value.startsWith('/')) return { problem: notAbsolute(value), field: id };
    changes[key] = value;
  }
  return { changes };
}

export function readNatPage(page: Page): PageRead {
  const name = textOf(page, 'name');
  const address = textOf(page, 'ip');
  if (saysYes(page, 'has-name') && name === '') {
    return { problem: 'Enter the NAT host name, or answer No.', field: 'name' };
  }
  if (name !== '' && (!isHost(name) || isIP(name) !== 0)) {
    return { problem: `${JSON.stringify(name)} is no host name.`, field: 'name' };
  }
  if (saysYes(page, 'has-ip') && address === '') {
    return { problem: 'Enter the NAT IP address, or answer No.', field: 'ip' };
  }
  if (address !== '' && isIP(address) === 0) {
    return { problem: `${JSON.stringify(address)} is no IP address.`, field: 'ip' };
  }
  return { changes: { NatHostName: name, NatIpAddress: address } };
}

export function readLoggingPage(page: Page): PageRead {
  const file = textOf(page, 'file');
  if (file !== '' && !file.startsWith('/')) return { problem: notAbsolute(file), field: 'file' };
  return { changes: { LogLevel: choiceOf(page, 'level'), LogFile: file } };
}

const notAbsolute = (path: string): string =>
  `${JSON.stringify(path)} is no absolute path: it has to begin with /.`;

// The operator's side of a configuration server: what `operator.json` leads to, as functions.
import type { Dispatcher } from 'undici';
import { controlClient, jsonBody, type ControlClient } from '../agent/control/client.ts';
import { HomewardError } from '../core/errors.ts';
import { parseAddress } from '../core/identity/address.ts';
import { explainConnect } from '../core/identity/explain-connect.ts';
import { httpClient, type HttpClient } from '../core/identity/http-client.ts';
import type { ResyncExtent, ResyncReport } from '../core/registration/resync-words.ts';
import type { HostReport } from './hosts/roster.ts';
import type { FleetReport } from './machines/fleet.ts';
import type { ProtectReport, ProtectRequest, UnprotectReport } from './machines/protect.ts';
import type { MachineReport } from './machines/report.ts';
import type { Severity } from './state/event-log.ts';

export type { FleetReport, HostReport, MachineReport, ProtectReport, ProtectRequest, UnprotectReport };
export type { ResyncExtent, ResyncReport };

/** What an operator's file says. */
export interface OperatorAccess {
  /** `HOST:PORT`. */
  address: string;
  /** SHA-256 of the authority's certificate. */
  fingerprint: string;
  token: string;
}

export interface EventReport {
  id: number;
  /** RFC 3339. */
  time: string;
  kind: string;
  severity: Severity;
  host: string | null;
  machine: string | null;
  message: string;
}

/** Failures are HomewardErrors. Hosts and machines are named by name or id, hosts also by their entry. */
export interface ConfigServerClient {
  hosts(): Promise<HostReport[]>;
  approveHost(host: string): Promise<HostReport>;
  removeHost(host: string): Promise<HostReport>;
  machines(): Promise<MachineReport[]>;
  protect(request: ProtectRequest): Promise<ProtectReport>;
  unprotect(machine: string): Promise<UnprotectReport>;
  /** The source of a machine compares extents with what the master target has, and sends what differs. */
  resync(machine: string, extents: readonly ResyncExtent[]): Promise<ResyncReport>;
  events(asked: { after?: number; limit: number }): Promise<EventReport[]>;
  passphrase(): Promise<string>;
  rotatePassphrase(): Promise<string>;
  status(): Promise<FleetReport>;
  /** The control API of whatever host a call concerns. */
  readonly control: ControlClient;
  close(): Promise<void>;
}

/** It connects at the first call. Throws 'bad-config' for an address that is none. */
export function connectConfigServer({ address, fingerprint, token }: OperatorAccess): ConfigServerClient {
  const client = httpClient({
    ...parseAddress(address),
    identity: null,
    authority: { fingerprint },
    expect: { role: 'config-server' },
  });
  const headers = { authorization: `Bearer ${token}` };
  const call = async <T>(method: Dispatcher.HttpMethod, path: string, body?: unknown): Promise<T> =>
    (await client.json({ method, path: `/api/v1${path}`, body, headers })) as T;
  const at = (room: string, name: string): string => `/${room}/${encodeURIComponent(name)}`;
  return {
    hosts: async () => (await call<{ hosts: HostReport[] }>('GET', '/hosts')).hosts,
    approveHost: async (host) =>
      (await call<{ host: HostReport }>('POST', `${at('hosts', host)}/approve`)).host,
    removeHost: async (host) => (await call<{ host: HostReport }>('DELETE', at('hosts', host))).host,
    machines: async () => (await call<{ machines: MachineReport[] }>('GET', '/machines')).machines,
    protect: ({ machine, ...body }) => call('PUT', `${at('machines', machine)}/protection`, body),
    unprotect: (machine) => call('DELETE', `${at('machines', machine)}/protection`),
    resync: (machine, extents) => call('POST', `/call/v1${at('machines', machine)}/resync`, { extents }),
    events: async ({ after, limit }) => {
      const query = `limit=${limit}${after === undefined ? '' : `&after=${after}`}`;
      return (await call<{ events: EventReport[] }>('GET', `/events?${query}`)).events;
    },
    passphrase: async () => (await call<{ passphrase: string }>('GET', '/passphrase')).passphrase,
    rotatePassphrase: async () =>
      (await call<{ passphrase: string }>('POST', '/passphrase/rotate')).passphrase,
    status: () => call('GET', '/status'),
    control: callsOver(client, headers),
    close: () => client.close(),
  };
}

function callsOver(client: HttpClient, authorization: Record<string, string>): ControlClient {
  const { pool, address } = client;
  return controlClient({
    send: ({ method, path, body }, wait) => {
      const json = jsonBody(body);
      return pool.request({
        origin: `https://${address}`,
        method,
        path: `/api/v1/call${path}`,
        headers: { ...authorization, ...json.headers },
        body: json.body ?? null,
        ...wait,
      });
    },
    explain: (error) => (error instanceof HomewardError ? error : explainConnect(error, address)),
    close: () => client.close(),
  });
}

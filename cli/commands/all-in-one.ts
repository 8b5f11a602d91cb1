// `homeward all-in-one`: configuration server, process server and master target on this host, all at their
// defaults.
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { HomewardError } from '../../core/errors.ts';
import { ensureHostId, readIdentity } from '../../core/identity/host-identity.ts';
import { limits } from '../../core/limits.ts';
import { readDaemonConfig } from '../../core/daemon-config.ts';
import { usualControl } from '../../core/usual-places.ts';
import { dataOption, runService } from '../run-service.ts';
import type { Session, Verb } from '../session.ts';

export interface AllInOneOptions {
  data?: string;
  listen?: string;
  processServerListen?: string;
  config?: string;
  batchResync?: string;
}

interface Places {
  data: string;
  configServer: string;
  processServer: string;
  masterTarget: string;
  control: string;
  operator: string;
  passphrase: string;
}

/** One of the three while it runs: ready, and then ended. */
interface Running<R> {
  ready: R;
  ended: Promise<void>;
}

const joinPollMs = 50;

export const allInOne: Verb<AllInOneOptions> = async (session, _operands, options) => {
  const config = options.config === undefined ? undefined : session.resolve(options.config);
  const told = readDaemonConfig({ role: 'all-in-one', config, ...dataOption(session, options.data) });
  const places = placesIn(told.data, told.installed);
  const given: Given = {
    places,
    options: { ...options, config },
    home: told.installed ? undefined : session.io.env['HOME'],
  };
  await runService(session, (interrupts, ready) => runAll(session, given, interrupts, ready));
};

interface Given {
  places: Places;
  /** With the path of the configuration file made absolute. */
  options: Omit<AllInOneOptions, 'config'> & { config: string | undefined };
  /** Where the caller's operator file goes unless one is there. */
  home: string | undefined;
}

async function runAll(
  session: Session,
  given: Given,
  interrupts: AbortSignal,
  tellReady: (status: string) => void,
): Promise<void> {
  const { places } = given;
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  interrupts.addEventListener('abort', stop, { once: true });
  const ended: Promise<void>[] = [];
  try {
    const { signal } = stopping;
    const trusted = [
      ensureHostId(places.processServer, 'process-server', 'process-server').hostId,
      ensureHostId(places.masterTarget, 'master-target', 'master-target').hostId,
    ];
    const server = await running((onReady: (ready: { address: string }) => void) =>
      startConfigServer(given, trusted, onReady, signal),
    );
    ended.push(server.ended);
    const { address } = server.ready;
    const spool = await running((onReady: (ready: { address: string }) => void) =>
      startProcessServer(given, address, onReady, signal),
    );
    ended.push(spool.ended);
    const target = await running((onReady: (ready: { control: string }) => void) =>
      startMasterTarget(given, address, onReady, signal),
    );
    ended.push(target.ended);
    await joined(places.masterTarget, signal);
    const ready = { address, processServer: spool.ready.address, control: target.ready.control };
    session.result(
      { ready: { ...ready, operator: places.operator, passphraseFile: places.passphrase } },
      () => nextSteps(ready, places),
    );
    tellReady(`serving at ${address}, control socket ${ready.control}`);
    // Whichever ends first takes the others with it.
    await Promise.race(ended);
  } finally {
    stop();
    await Promise.all(ended);
  }
}

const placesIn = (data: string, installed: boolean): Places => ({
  data,
  configServer: path.join(data, 'config-server'),
  processServer: path.join(data, 'process-server'),
  masterTarget: path.join(data, 'master-target'),
  control: installed ? usualControl : path.join(data, 'control.sock'),
  operator: path.join(data, 'operator.json'),
  passphrase: path.join(data, 'config-server', 'passphrase'),
});

/**
 * A master target enrols while it serves already; what is typed next needs it enrolled. Its log says what is
 * wrong.
 */
async function joined(data: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + limits.allInOneJoinMs;
  while (readIdentity(data) === null && performance.now() < deadline && !signal.aborted)
    await setTimeout(joinPollMs);
}

/** Resolves when it says that it is ready; rejects when it ends before. */
function running<R>(start: (onReady: (ready: R) => void) => Promise<void>): Promise<Running<R>> {
  return new Promise((resolve, reject) => {
    const ended: Promise<void> = start((ready) => resolve({ ready, ended }));
    ended.then(() => reject(new HomewardError('interrupted', 'stopped before it was ready')), reject);
  });
}

async function startConfigServer(
  { places, options, home }: Given,
  trusted: string[],
  onReady: (ready: { address: string }) => void,
  signal: AbortSignal,
): Promise<void> {
  const { listen, config } = options;
  const { start } = await import('../../config-server/main.ts');
  await start(
    {
      data: places.configServer,
      operatorFile: places.operator,
      trusted,
      onReady,
      config,
      ...(home === undefined ? {} : { home }),
      ...(listen === undefined ? {} : { listen }),
    },
    signal,
  );
}

async function startProcessServer(
  { places, options: { config, processServerListen, batchResync } }: Given,
  configServer: string,
  onReady: (ready: { address: string }) => void,
  signal: AbortSignal,
): Promise<void> {
  const { start } = await import('../../process-server/main.ts');
  await start(
    {
      data: places.processServer,
      configServer,
      passphraseFile: places.passphrase,
      onReady,
      ...(config === undefined ? {} : { config }),
      ...(processServerListen === undefined ? {} : { listen: processServerListen }),
      ...(batchResync === undefined ? {} : { batchResync }),
    },
    signal,
  );
}

async function startMasterTarget(
  { places, options: { config } }: Given,
  configServer: string,
  onReady: (ready: { control: string }) => void,
  signal: AbortSignal,
): Promise<void> {
  const { start } = await import('../../agent/main.ts');
  await start(
    {
      data: places.masterTarget,
      control: places.control,
      configServer,
      passphraseFile: places.passphrase,
      onReady,
      ...(config === undefined ? {} : { config }),
    },
    signal,
  );
}

function nextSteps(
  ready: { address: string; processServer: string; control: string },
  { data, operator, passphrase }: Places,
): string {
  const { address, processServer, control } = ready;
  return `Configuration server ${address}, process server ${processServer}, control socket ${control}.

Protect a machine: a disk is a file or a block device, its workload attaches over NBD.
  export HOMEWARD_OPERATOR=${operator}
  bin/homeward mobility --data ${data}-web --machine web --disk sda=PATH --listen unix:${data}-web.sock \\
    --config-server ${address} --passphrase-file ${passphrase} &
  bin/homeward protect web
  bin/homeward status --watch
  bin/homeward points web
ready
`;
}

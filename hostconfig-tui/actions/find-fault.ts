// Why the configuration server could not be used: the error, and what is there instead.
import { HomewardError, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import type { Address } from '../../core/identity/address.ts';
import { faultOf, type FaultFacts } from '../model/fault.ts';
import type { Fault } from '../model/model.ts';
import { probeSpeech, seemsOurs } from './probe.ts';

/** Where configuration servers are: 443, or 8443 where they may not have that. */
const usualPorts = [443, 8443];

const notOurs: readonly ErrorCode[] = ['not-tls', 'server-failed'];
// Silence, too: something else may hold its tongue there, and a firewall lets through what it knows.
const wrongPort: readonly ErrorCode[] = [...notOurs, 'connection-refused', 'timed-out'];

export async function findFault(thrown: unknown, server: Address, signal: AbortSignal): Promise<Fault> {
  const error = toHomewardError(thrown);
  const facts: FaultFacts = { ...server, speaks: 'nothing-known', usualPort: null };
  if (notOurs.includes(error.code)) facts.speaks = await probeSpeech(server, signal);
  // SSH may also just close: what it greeted with says more than that.
  const code = facts.speaks === 'nothing-known' ? error.code : 'not-tls';
  if (wrongPort.includes(code)) facts.usualPort = await findUsualPort(server, signal);
  const { message, hint } = error;
  return faultOf(
    code === error.code ? error : new HomewardError(code, message, { hint, cause: error }),
    facts,
  );
}

async function findUsualPort({ host, port }: Address, signal: AbortSignal): Promise<number | null> {
  const others = usualPorts.filter((usual) => usual !== port);
  const ours = await Promise.all(others.map((usual) => seemsOurs({ host, port: usual }, signal)));
  return others.find((_usual, at) => ours[at] === true) ?? null;
}

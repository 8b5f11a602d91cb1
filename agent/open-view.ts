// Opens a view as it was asked for, and again after a restart.
import type { Config } from '../core/config.ts';
import type { Clock } from '../core/clock.ts';
import { HomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { parseListen } from '../core/names.ts';
import type { OpenedView, ViewRequest } from './control/service.ts';
import { tlsForView } from './listen-policy.ts';
import { Machine } from './machine.ts';
import type { Machines } from './machines.ts';
import { useLines } from './recovery/view-use.ts';
import type { Views } from './recovery/views.ts';
import { settleWhen } from './recovery/when.ts';

export interface ViewParts {
  data: string;
  config: Config;
  clock: Clock;
  machines: Machines;
  views: Views;
}

export async function openView(request: ViewRequest, parts: ViewParts): Promise<OpenedView> {
  const { data, config, clock, machines, views } = parts;
  const machine = machines.get(request.machine);
  const listen = parseListen(request.listen);
  const asksTls = request.tls === true;
  const { tls, clientDirectory } = await tlsForView(listen, asksTls, {
    tlsDirectory: config.nbdTlsDirectory,
    data,
  });
  const { at, asked } = settleWhen(request.at, clock.now());
  const { lsn, time } = await machine.resolve(at);
  const report = await views.open({
    machine,
    held: machine.hold(lsn),
    time: Machine.spellTime(time),
    listen,
    tls,
    leaseMs: request.leaseMs,
    scratchBytes: request.writable ? (request.scratchBytes ?? limits.scratchBytes) : null,
    lasting: request.temporary === true ? null : { tls: asksTls },
  });
  if (clientDirectory === null) return { ...report, asked };
  return { ...report, asked, use: useLines(parseListen(report.listen), report.exports, clientDirectory) };
}

/** Before anything is applied or pruned: what a view shows must still be there. */
export async function restoreViews({ data, config, machines, views }: ViewParts): Promise<void> {
  await views.restore(async (record) => {
    const { tls } = await tlsForView(parseListen(record.listen), record.tls, {
      tlsDirectory: config.nbdTlsDirectory,
      data,
    });
    const { id, name } = record.machine;
    const machine = machines.list().find((candidate) => candidate.id === id);
    if (machine !== undefined) return { held: machine.hold(record.lsn), tls };
    if (machines.broken.some((broken) => broken.id === id)) return null;
    throw new HomewardError('no-such-machine', `there is no machine "${name}" any more`);
  });
}

// `homeward rescue`: lists and recovers the machines of a bare retention volume, on a host with nothing else.
import type { ControlClient } from '../../agent/control/client.ts';
import type { Rescuable, RescueClient } from '../../agent/recovery/rescue/client.ts';
import { ExitStatus, HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import type { Session, Verb } from '../session.ts';
import { formatFields, formatMoment } from '../table.ts';
import type { RecoverOptions } from './recover.ts';

export interface RescueOptions extends RecoverOptions {
  replicas?: string;
  list?: boolean;
}

export const rescue: Verb<RescueOptions> = async (session, [directory = '', ...operands], options) => {
  const { RescueClient } = await import('../../agent/recovery/rescue/client.ts');
  const client = new RescueClient({
    retention: session.resolve(directory),
    replicas: options.replicas === undefined ? null : session.resolve(options.replicas),
  });
  if (options.list || operands.length === 0) {
    if (options.to !== undefined || options.at !== undefined)
      throw new HomewardError('usage', 'which machine is to be recovered is missing', {
        hint: 'Give `homeward rescue DIR M --at WHEN --to raw:DIR`, or --list alone.',
      });
    return list(session, client, [directory, options.replicas]);
  }
  const { recover } = await import('./recover.ts');
  return recover(askingInstead(session, client), operands, options);
};

function list(session: Session, client: RescueClient, places: Places): ExitStatus {
  const machines = client.list();
  session.result({ machines }, () => machines.map((machine) => formatRescuable(machine, places)).join('\n'));
  return machines.some(({ damaged }) => damaged.length > 0) ? ExitStatus.found : ExitStatus.done;
}

/** `recover` asks for plans and recoveries alone, and gets them from the volume in place of a daemon. */
function askingInstead(session: Session, client: RescueClient): Session {
  return { ...session, withClient: (ask) => ask(client as Partial<ControlClient> as ControlClient) };
}

/** The retention volume and the replicas, as they were typed: so they stand in the next command, too. */
type Places = readonly [directory: string, replicas: string | undefined];

function formatRescuable(machine: Rescuable, [directory, replicas]: Places): string {
  const { id, disks, window, latest, kept, tags, gaps, damaged } = machine;
  const name = machine.machine ?? 'name not known';
  const fields: [string, string][] = disks.map(({ name: disk, size, replicaMissing }) => [
    `disk ${disk}`,
    `${formatSize(size)}, ${replicaMissing === null ? 'replica is there' : `no replica: ${replicaMissing}`}`,
  ]);
  if (window === null) fields.push(['points', 'none']);
  else
    fields.push(
      ['every point', `from ${formatMoment(window.from)} to ${formatMoment(window.to)}`],
      ['kept before', kept.length === 0 ? 'none' : kept.map(formatMoment).join('; ')],
      ['tags', tags.length === 0 ? 'none' : tags.map((tag) => `${tag.name} (LSN ${tag.lsn})`).join(', ')],
    );
  for (const { from, to, reason } of gaps)
    fields.push(['gap', `LSN ${from} to ${to ?? 'the end'}: ${reason}`]);
  for (const { file, fromLsn, toLsn, what } of damaged)
    fields.push(['damaged', `${file}${toLsn === 0 ? '' : `, LSN ${fromLsn} to ${toLsn}`}: ${what}`]);
  const flags = replicas === undefined ? '' : ` --replicas ${replicas}`;
  const command = `homeward rescue ${directory} ${machine.machine ?? id}${flags} --at latest --to raw:DIR`;
  const next = latest === null ? '' : `  recover it: ${command}\n`;
  return `Machine ${name} (${id})\n${formatFields(fields)}${next}`;
}

// The calls of operators that a mobility service answers: POST /v1/machines/M/tags.
import { z } from 'zod';
import { formatTime } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { checkTagName } from '../../core/names.ts';
import type { HostCall } from '../../core/registration/messages.ts';
import { microseconds } from '../../core/units.ts';
import type { ScanSchedule } from '../scan/scan-schedule.ts';
import type { Tagger, TakenTag } from './tagger.ts';

export interface TagCallOptions {
  tagger: Tagger;
  /** Where every disk is scanned: a tag is a scan. */
  scanning?: Pick<ScanSchedule, 'take'> | null;
  /** Of the machine: both are taken for M. */
  id: string;
  name: string;
  spooledMs?: number;
  targetMs?: number;
}

const tagSchema = z.strictObject({
  name: z.string(),
  consistency: z.enum(['user', 'crash', 'application']).optional(),
});

/** Answers a call; errors are for whoever runs it to answer with. */
export function tagCalls(
  options: TagCallOptions,
): (call: HostCall) => Promise<{ status: number; body: string }> {
  return async (call) => {
    const machine = machineOf(call);
    if (machine !== options.id && machine !== options.name)
      throw new HomewardError('no-such-machine', `this host protects ${options.name}, not "${machine}"`);
    const { name, consistency } = parseBody(call.body);
    checkTagName(name);
    const { tagger, scanning = null } = options;
    if (scanning !== null) {
      const asked = consistency ?? 'user';
      return answer(options.name, await scanning.take({ name, consistency: asked }));
    }
    const wanted = consistency ?? (tagger.hasScript ? 'application' : 'user');
    const tag = wanted === 'application' ? await tagger.takeWithScript(name) : tagger.take(name, wanted);
    await settle(options, tag.lsn, name);
    return answer(options.name, tag);
  };
}

function answer(machine: string, tag: TakenTag): { status: number; body: string } {
  const { lsn, name, consistency } = tag;
  const time = formatTime(microseconds(tag.time));
  return { status: 200, body: JSON.stringify({ machine, lsn, time, name, consistency }) };
}

/**
 * Durable at the process server; `points` lists it once the master target has it, which is waited for a
 * little.
 */
async function settle(options: TagCallOptions, lsn: number, name: string): Promise<void> {
  const { tagger, spooledMs = limits.tagSpooledMs, targetMs = limits.tagTargetMs } = options;
  if (!(await tagger.reached('spooledLsn', lsn, spooledMs)))
    throw new HomewardError(
      'timed-out',
      `the tag "${name}" is number ${lsn}, but the process server has not got it yet`,
      {
        hint: 'It counts when the process server is reached again; `homeward points M` lists it then.',
      },
    );
  await tagger.reached('targetLsn', lsn, targetMs);
}

function machineOf({ method, path }: HostCall): string {
  const [, machine] = /^\/v1\/machines\/([^/?]+)\/tags$/.exec(path) ?? [];
  if (method !== 'POST' || machine === undefined)
    throw new HomewardError('usage', `a mobility service does not answer ${method} ${path}`);
  return decodeURIComponent(machine);
}

function parseBody(body: string | null): z.infer<typeof tagSchema> {
  let value: unknown;
  try {
    value = JSON.parse(body ?? '');
  } catch (cause) {
    throw new HomewardError('usage', 'the request is not JSON', { cause });
  }
  const { data, error } = tagSchema.safeParse(value);
  if (error) throw new HomewardError('usage', z.prettifyError(error), { cause: error });
  return data;
}

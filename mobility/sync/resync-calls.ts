// The call of operators that sends extents again: POST /v1/machines/M/resync to the source.
import { z } from 'zod';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { CallAnswer } from '../../core/registration/call-desk.ts';
import type { HostCall } from '../../core/registration/messages.ts';
import type { ResyncExtent, ResyncOutcome } from '../../core/registration/resync-words.ts';

export interface ResyncCallOptions {
  /** Of the machine: both are taken for M. */
  id: string;
  name: string;
  disks(): readonly { name: string; size: number }[];
  resync(extents: readonly { disk: number; start: number; end: number }[]): Promise<ResyncOutcome>;
}

const offset = z.number().int().nonnegative().max(limits.diskBytes);
const resyncSchema = z.strictObject({
  extents: z
    .array(z.strictObject({ disk: z.string(), start: offset, end: offset }))
    .min(1)
    .max(limits.resyncExtents),
});

type Answer = (call: HostCall) => Promise<CallAnswer>;

/** Answers these calls, and leaves all others to `otherwise`. */
export function resyncCalls(options: ResyncCallOptions, otherwise: Answer): Answer {
  return async (call) => {
    const [, named] = /^\/v1\/machines\/([^/?]+)\/resync$/.exec(call.path) ?? [];
    if (call.method !== 'POST' || named === undefined) return otherwise(call);
    const { id, name } = options;
    const machine = decodeURIComponent(named);
    if (machine !== id && machine !== name)
      throw new HomewardError('no-such-machine', `this host protects ${name}, not "${machine}"`);
    const { extents } = parseBody(call.body);
    const outcome = await options.resync(extents.map((extent) => placed(extent, options.disks())));
    return { status: 200, body: JSON.stringify({ machine: name, extents, ...outcome }) };
  };
}

function placed(
  { disk: name, start, end }: ResyncExtent,
  disks: readonly { name: string; size: number }[],
): { disk: number; start: number; end: number } {
  const disk = disks.findIndex((each) => each.name === name);
  const size = disks[disk]?.size;
  if (size === undefined) {
    const names = disks.map((each) => each.name).join(', ');
    throw new HomewardError('no-such-disk', `there is no disk "${name}" here, but ${names}`);
  }
  if (start >= end || end > size)
    throw new HomewardError('usage', `bytes ${start} to ${end} are not on ${name}, which has ${size}`);
  return { disk, start, end };
}

function parseBody(body: string | null): z.infer<typeof resyncSchema> {
  let value: unknown;
  try {
    value = JSON.parse(body ?? '');
  } catch (cause) {
    throw new HomewardError('usage', 'the request is not JSON', { cause });
  }
  const { data, error } = resyncSchema.safeParse(value);
  if (error) throw new HomewardError('usage', z.prettifyError(error), { cause: error });
  return data;
}

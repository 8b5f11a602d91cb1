// Whom a command asks: a daemon by its control socket, or a configuration server by an operator's file.
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import type { OperatorAccess } from '../config-server/client.ts';
import { errnoOf, HomewardError } from '../core/errors.ts';
import { usualControl, usualOperatorFiles } from '../core/usual-places.ts';
import type { Io } from './io.ts';

export type Asked = { kind: 'daemon'; control: string } | { kind: 'server'; operator: string };

export interface AskFlags {
  control?: string | undefined;
  operator?: string | undefined;
}

/**
 * Flags before the environment, that before the usual places; a control socket before an operator's file.
 * Throws 'usage' when both are given.
 */
export function whomToAsk({ env, cwd }: Pick<Io, 'env' | 'cwd'>, flags: AskFlags): Asked {
  const resolve = (file: string): string => path.resolve(cwd, file);
  if (flags.control !== undefined && flags.operator !== undefined) {
    throw new HomewardError('usage', 'give --control or --operator, not both');
  }
  if (flags.control !== undefined) return { kind: 'daemon', control: resolve(flags.control) };
  if (flags.operator !== undefined) return { kind: 'server', operator: resolve(flags.operator) };
  const control = env['HOMEWARD_CONTROL'] ?? '';
  if (control !== '') return { kind: 'daemon', control: resolve(control) };
  const operator = env['HOMEWARD_OPERATOR'] ?? '';
  if (operator !== '') return { kind: 'server', operator: resolve(operator) };
  const usual = usualOperatorFile(env);
  if (usual !== null) return { kind: 'server', operator: usual };
  return { kind: 'daemon', control: usualControl };
}

/** The caller's own, else that of the configuration server of this host, where the caller may read it. */
function usualOperatorFile(env: Io['env']): string | null {
  const home = env['HOME'] ?? '';
  const own = home === '' ? [] : [path.join(home, '.config', 'homeward', 'operator.json')];
  return [...own, ...usualOperatorFiles].find((file) => fs.existsSync(file)) ?? null;
}

const operatorSchema: z.ZodType<OperatorAccess> = z.object({
  address: z.string().min(1),
  fingerprint: z.string().min(1),
  token: z.string().min(1),
});

/** Throws 'no-such-file', and 'bad-config' for what is no operator's file. */
export function readOperatorFile(file: string): OperatorAccess {
  const text = readText(file);
  try {
    return operatorSchema.parse(JSON.parse(text));
  } catch {
    // Without the cause: it would quote what is in the file.
    throw new HomewardError('bad-config', `${file} is not the file of an operator`, {
      hint: 'Take it from the configuration server, DATA/operator.json: address, fingerprint and token.',
    });
  }
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    const errno = errnoOf(error);
    const what =
      errno === 'ENOENT' ? `there is no operator's file ${file}` : `${file} cannot be read: ${errno}`;
    throw new HomewardError('no-such-file', what, {
      cause: error,
      hint: 'Take it from the configuration server, DATA/operator.json, or name it with --operator.',
    });
  }
}

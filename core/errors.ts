// The error class of everything that a user can meet; its codes are in the table beside it.
import { errorTable, type ErrorCode, type ExitStatus } from './error-table.ts';

export { errorTable, ExitStatus, type ErrorCode } from './error-table.ts';

/** An error with a code from the table; the message says what happened, the hint what to do. */
export class HomewardError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HomewardError';
    this.code = code;
    this.hint = options.hint ?? errorTable[code].hint;
  }

  get exit(): ExitStatus {
    return errorTable[this.code].exit;
  }
  get http(): number {
    return errorTable[this.code].http;
  }

  toJSON(): { code: ErrorCode; message: string; hint: string } {
    return { code: this.code, message: this.message, hint: this.hint };
  }
}

/** The errno name (`ENOSPC`) that an error or one of its causes carries, or null. */
export function errnoOf(error: unknown): string | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code: unknown = 'code' in at ? at.code : undefined;
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code;
  }
  return null;
}

const environmental: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EROFS: 'not-writable',
  EACCES: 'not-writable',
  EPERM: 'not-writable',
  EFBIG: 'target-too-small',
};

/** Any thrown value as a HomewardError; what is not one already is what a disk refused, or a bug. */
export function toHomewardError(error: unknown): HomewardError {
  if (error instanceof HomewardError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new HomewardError(environmental[errnoOf(error) ?? ''] ?? 'bug', message, { cause: error });
}

/** Throws a bug report when something we promise ourselves does not hold. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new HomewardError('bug', `assertion failed: ${what}`);
}

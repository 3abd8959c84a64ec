/** Expected failures are values: a function that can fail in a foreseen way returns a Result. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const fail = <E>(error: E): { readonly ok: false; readonly error: E } => ({ ok: false, error });

/** Marks a place that the types say cannot be reached; reaching it is a bug of ours and ends the process. */
export function assertNever(value: never, what: string): never {
  throw new AppError('BUG_UNREACHABLE', `unexpected ${what}: ${JSON.stringify(value)}`, { data: { what } });
}

/**
 * What a caller may do after an AppError: `now` = try again at once, `backoff` = try again later,
 * `change` = only a changed input can help, `never` = a bug of ours.
 */
export type RetryClass = 'now' | 'backoff' | 'change' | 'never';

/**
 * A failure of the environment or a bug of ours, with a stable code that `docs/errors.md` explains.
 * The message says what happened, to what, and what to do.
 */
export class AppError extends Error {
  readonly code: string;
  readonly retry: RetryClass;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    options: {
      readonly retry?: RetryClass;
      readonly data?: Readonly<Record<string, unknown>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.retry = options.retry ?? 'change';
    this.data = options.data ?? {};
  }
}

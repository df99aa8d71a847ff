/**
 * Options of calls. An interface of options has one table of checks, a check an option: what reads the options, and what
 * the options are called, is said there and nowhere else. A table that lacks an option does not compile.
 */
import { InstasegError } from './errors.js';
import {
  invalid,
  requireBoolean,
  requireFinite,
  requireFunction,
  requireInteger,
  requireNumber,
  requireOneOf,
  requireSignal,
  requireString,
  show,
} from './validate.js';

/** Gives the value of an option, or throws ERR_ARGUMENT. A value that is left out is undefined. */
export type Check<T> = (name: string, value: unknown) => T;

/** A check for each of an interface's options: `const OPTIONS = { ... } satisfies OptionChecks<Interface>`. */
export type OptionChecks<T extends object> = { readonly [K in keyof Required<T>]: Check<unknown> };

/** What a table's checks give. */
export type Checked<C> = { readonly [K in keyof C]: C[K] extends Check<infer T> ? T : never };

/** An object; left out it has no fields. */
export function requireObject(name: string, value: unknown): Readonly<Record<string, unknown>> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, 'an object', value);
  return value as Record<string, unknown>;
}

/**
 * The options of `call`, each checked. Left out they are as an empty object.
 * @throws InstasegError ERR_ARGUMENT for what is no object, an option that there is not, a value that does not fit
 */
export function readOptions<C extends Readonly<Record<string, Check<unknown>>>>(
  call: string,
  options: unknown,
  checks: C,
): Checked<C> {
  const given = requireObject(`the options of ${call}`, options);
  refuseUnknown(call, given, checks);
  return Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check(name, given[name])])) as never;
}

/** Options that have a check or are refused; for those whose values are checked where they are used. */
export function refuseUnknown(call: string, given: object, known: object): void {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(known, name)) continue;
    const names = Object.keys(known).join(', ');
    throw new InstasegError(
      'ERR_ARGUMENT',
      `${call} has no option ${show(name)}; ${names === '' ? 'it has none' : `there are ${names}`}`,
    );
  }
}

/** May be left out. */
export const optional =
  <T>(check: Check<T>): Check<T | undefined> =>
  (name, value) =>
    value === undefined ? undefined : check(name, value);

export const flag: Check<boolean> = requireBoolean;

export const finite: Check<number> = requireFinite;

export const abortSignal: Check<AbortSignal | undefined> = (_name, value) => requireSignal(value);

/** A function that is told something. */
export const callback = requireFunction as <A extends unknown[]>(name: string, value: unknown) => (...args: A) => void;

export const integer =
  (minimum: number, maximum?: number): Check<number> =>
  (name, value) =>
    requireInteger(name, value, minimum, maximum);

/** In [minimum, maximum]; not NaN. */
export const number =
  (minimum = -Infinity, maximum = Infinity): Check<number> =>
  (name, value) =>
    requireNumber(name, value, minimum, maximum);

export const oneOf =
  <const T extends string>(...choices: readonly T[]): Check<T> =>
  (name, value) =>
    requireOneOf(name, value, choices);

export const text: Check<string> = requireString;

export const texts: Check<readonly string[]> = (name, value) => {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw invalid(name, 'an array of strings', value);
};

/** Any number of fields, of which each is checked by what uses it. */
export const object: Check<Readonly<Record<string, unknown>>> = requireObject;

/** Checked by what uses it. */
export const unchecked: Check<unknown> = (_name, value) => value;

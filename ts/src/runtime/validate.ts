/** Checks of arguments before they cross into native code: what was expected, the argument's name, what came. */
import { types } from 'node:util';
import { InstasegError } from './errors.js';

/** A short form of any value for an error message. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === 'function') return 'a function';
  if (types.isTypedArray(value)) return `${value.constructor.name}(${value.length})`;
  if (Array.isArray(value)) return value.length > 8 ? `an array of ${value.length}` : `[${value.map(show).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'null prototype'})`;
  return String(value);
}

export function invalid(name: string, expected: string, received: unknown): InstasegError {
  return new InstasegError('ERR_ARGUMENT', `${name} must be ${expected}; received ${show(received)}`);
}

export function requireInteger(
  name: string,
  value: unknown,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum) {
    const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
    throw invalid(name, `an integer ${range}`, value);
  }
  return value;
}

export function requirePositiveInteger(name: string, value: unknown): number {
  return requireInteger(name, value, 1);
}

export function requireFinite(name: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(name, 'a finite number', value);
  return value;
}

/** A number in [minimum, maximum]; NaN is refused. */
export function requireNumber(name: string, value: unknown, minimum: number, maximum: number): number {
  if (typeof value !== 'number' || !(value >= minimum && value <= maximum)) {
    throw invalid(name, `a number from ${minimum} to ${maximum}`, value);
  }
  return value;
}

export function requireString(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(name, 'a string', value);
  return value;
}

export function requireBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false', value);
  return value;
}

export function requireFunction(name: string, value: unknown): (...args: never[]) => unknown {
  if (typeof value !== 'function') throw invalid(name, 'a function', value);
  return value as (...args: never[]) => unknown;
}

export function requireOneOf<T extends string>(name: string, value: unknown, choices: readonly T[]): T {
  if (!choices.includes(value as T)) throw invalid(name, `one of ${choices.map(show).join(', ')}`, value);
  return value as T;
}

export function requireList<T>(name: string, value: readonly T[]): readonly T[] {
  if (!Array.isArray(value)) throw invalid(name, 'an array', value);
  return value as readonly T[];
}

export function requireSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  // Structural: signals come from other realms and polyfills too.
  if (typeof value !== 'object' || value === null || !('aborted' in value) || !('addEventListener' in value)) {
    throw invalid('signal', 'an AbortSignal', value);
  }
  return value as AbortSignal;
}

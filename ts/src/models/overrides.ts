/** From a call's options to overrides of a configuration. */
import { InstasegError } from '../runtime/errors.js';
import { requireInteger, requireNumber } from '../runtime/validate.js';
import type { SegmentOptions } from './options.js';

/** Only the entries that are set, so that `undefined` never replaces what a configuration says. */
export function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

/** Throws ERR_ARGUMENT for options that a family does not have: nothing is ignored in silence. */
export function refuse(options: SegmentOptions, names: readonly (keyof SegmentOptions)[], family: string): void {
  for (const name of names) {
    if (options[name] !== undefined) throw new InstasegError('ERR_ARGUMENT', `${family} has no option ${name}`);
  }
}

/** An option from 0 to 1. */
export function fraction(options: SegmentOptions, name: keyof SegmentOptions): number | undefined {
  return options[name] === undefined ? undefined : requireNumber(name, options[name], 0, 1);
}

/** An option that counts from 1. */
export function count(options: SegmentOptions, name: keyof SegmentOptions, maximum: number): number | undefined {
  return options[name] === undefined ? undefined : requireInteger(name, options[name], 1, maximum);
}

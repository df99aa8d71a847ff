// Checks of configurations that come from a file's metadata or with a caller's changes in them.
import { show } from '../../runtime/validate.js';

/** Says what is wrong with a value at a place, or nothing. */
export type Check = (value: unknown, at: string) => string | undefined;

export const expect =
  (what: string, test: (value: unknown) => boolean): Check =>
  (value, at) =>
    test(value) ? undefined : `expected ${what} for ${at}, received ${show(value)}`;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
export const count = expect('an integer from 1', (value) => Number.isSafeInteger(value) && (value as number) >= 1);
export const id = expect('an integer from 0', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
export const positive = expect('a number above 0', (value) => isNumber(value) && value > 0);
export const fromZero = expect('a number from 0', (value) => isNumber(value) && value >= 0);
export const fraction = expect('a number from 0 to 1', (value) => isNumber(value) && value >= 0 && value <= 1);
export const finite = expect('a number', isNumber);
export const text = expect('a string', (value) => typeof value === 'string');
export const flag = expect('true or false', (value) => typeof value === 'boolean');
export const oneOf = (...values: readonly string[]): Check =>
  expect(values.map((value) => `'${value}'`).join(' or '), (value) => values.includes(value as string));

/** An array of `length` items, or of at least one. */
export const list =
  (item: Check, length?: number): Check =>
  (value, at) => {
    if (!Array.isArray(value) || (length === undefined ? value.length === 0 : value.length !== length)) {
      return `expected a list of ${length ?? 'one or more'} items for ${at}, received ${show(value)}`;
    }
    return firstProblem(value.map((entry, i) => item(entry, `${at}[${i}]`)));
  };

/** An object with exactly these fields. */
export const fields =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `expected an object for ${at}`;
    const unknown = Object.keys(value).find((key) => !Object.hasOwn(checks, key));
    if (unknown !== undefined) return `${at} has the unknown field "${unknown}"`;
    const entry = value as Record<string, unknown>;
    return firstProblem(Object.entries(checks).map(([key, check]) => check(entry[key], `${at}.${key}`)));
  };

export const firstProblem = (problems: readonly (string | undefined)[]): string | undefined =>
  problems.find((problem) => problem !== undefined);

/** Colours of an image. */
export const CHANNELS = 3;

/** What every family says about its classes. */
export const classFields = { model: text, numClasses: count, classNames: list(text), categoryIds: list(id) };

/** Says how the class lists contradict each other, or nothing. */
export function findClassProblem({ numClasses, classNames, categoryIds }: ClassFields): string | undefined {
  if (numClasses < 2) return 'a model needs a class beside the background';
  if (classNames.length !== numClasses || categoryIds.length !== numClasses) {
    return `there are ${numClasses} classes, ${classNames.length} names and ${categoryIds.length} category ids`;
  }
  return undefined;
}

interface ClassFields {
  readonly numClasses: number;
  readonly classNames: readonly string[];
  readonly categoryIds: readonly number[];
}

/**
 * Shapes of a network's ops as text, one case a line: `op name key=value ...`, `#` begins a comment. Numbers, lists
 * joined by `x` (`input=1x200x272x256`) and words are values; `times=3` says that the network has three such layers.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import { InstasegError } from '../runtime/errors.js';
import { PACKAGE_ROOT } from './package-root.js';

/** One line of a shape file. */
export interface ShapeCase {
  /** Name of the file. */
  readonly model: string;
  readonly op: string;
  readonly name: string;
  /** How often the network has it. */
  readonly times: number;
  readonly values: ReadonlyMap<string, string>;
  /** Where it stands, for messages. */
  readonly where: string;
}

const FOLDER = join(PACKAGE_ROOT, 'benchmarks', 'shapes');

/** The names of the shape files in the package. */
export function shapeFiles(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.txt'))
    .map((file) => parse(file).name)
    .sort();
}

/** The cases of a file in the package by its name, or of any file by its path. */
export function readShapes(file: string): ShapeCase[] {
  const path = shapeFiles().includes(file) ? join(FOLDER, `${file}.txt`) : file;
  try {
    return parseShapes(readFileSync(path, 'utf8'), parse(path).name);
  } catch (cause) {
    if (cause instanceof InstasegError) throw cause;
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new InstasegError(
      'ERR_FILE',
      `cannot read the shapes '${file}' (${reason}): expected a file, or one of ${shapeFiles().join(', ')}`,
      { cause },
    );
  }
}

/** The values of a case as its line has them. */
export function shapeText({ values }: ShapeCase): string {
  return [...values].map(([key, value]) => `${key}=${value}`).join(' ');
}

/**
 * @throws InstasegError ERR_ARGUMENT naming the line; also where an op has a name twice, since rows of reports are told
 *   apart by them
 */
export function parseShapes(text: string, model: string): ShapeCase[] {
  const lines = new Map<string, string>();
  return text.split(/\r?\n/).flatMap((line, i) => {
    const words = line.replace(/#.*/, '').trim().split(/\s+/);
    if (words[0] === '') return [];
    const where = `${model}:${i + 1}`;
    const [op, name, ...rest] = words as [string, string | undefined, ...string[]];
    const values = new Map(
      rest.map((word) => {
        const at = word.indexOf('=');
        if (at < 1 || at === word.length - 1) throw malformed(where, `key=value, received "${word}"`);
        return [word.slice(0, at), word.slice(at + 1)] as const;
      }),
    );
    if (name === undefined || name.includes('=')) throw malformed(where, 'an op, a name, and key=value pairs');
    const times = Number(values.get('times') ?? 1);
    if (!Number.isInteger(times) || times < 1) throw malformed(where, 'a positive integer for times');
    values.delete('times');
    const first = lines.get(`${op} ${name}`);
    if (first !== undefined) throw malformed(where, `another name for ${op} than "${name}", which ${first} has`);
    lines.set(`${op} ${name}`, where);
    return [{ model, op, name, times, values, where }];
  });
}

function malformed(where: string, expected: string): InstasegError {
  return new InstasegError('ERR_ARGUMENT', `${where}: expected ${expected}`);
}

/** Reads the values of a case; `finish` refuses those that nothing asked for. */
export class ShapeReader {
  readonly #asked = new Set<string>();

  constructor(readonly shape: ShapeCase) {}

  has(key: string): boolean {
    this.#asked.add(key);
    return this.shape.values.has(key);
  }

  text(key: string, fallback?: string): string {
    this.#asked.add(key);
    const value = this.shape.values.get(key) ?? fallback;
    if (value === undefined) throw malformed(this.shape.where, `${key}=... for ${this.shape.op}`);
    return value;
  }

  number(key: string, fallback?: number): number {
    const value = Number(this.text(key, fallback === undefined ? undefined : String(fallback)));
    if (!Number.isFinite(value) || value < 0) {
      throw malformed(this.shape.where, `a number of at least 0 for ${key}, received ${this.text(key)}`);
    }
    return value;
  }

  /** An integer of at least `least`. */
  integer(key: string, fallback?: number, least = 1): number {
    const value = this.number(key, fallback);
    if (!Number.isSafeInteger(value) || value < least) {
      throw malformed(this.shape.where, `an integer of at least ${least} for ${key}, received ${this.text(key)}`);
    }
    return value;
  }

  /** One of the words. */
  choice<W extends string>(key: string, words: readonly W[]): W {
    const value = this.text(key, words[0]);
    if (!(words as readonly string[]).includes(value)) {
      throw malformed(this.shape.where, `${words.join(' or ')} for ${key}, received ${value}`);
    }
    return value as W;
  }

  /** A list of exactly `length` positive integers; of any length without it. */
  list<N extends number>(key: string, length?: N): number[] & { readonly length: N } {
    const list = this.text(key).split('x').map(Number);
    if (
      (length !== undefined && list.length !== length) ||
      !list.every((size) => Number.isSafeInteger(size) && size > 0)
    ) {
      const sizes = length === undefined ? 'sizes' : `${length} sizes`;
      throw malformed(this.shape.where, `${sizes} joined by x for ${key}, received ${this.text(key)}`);
    }
    return list as number[] & { readonly length: N };
  }

  /** For values that make no sense together. */
  refuse(expected: string): never {
    throw malformed(this.shape.where, expected);
  }

  finish(): void {
    const unknown = [...this.shape.values.keys()].filter((key) => !this.#asked.has(key));
    if (unknown.length > 0) {
      throw malformed(this.shape.where, `${[...this.#asked].join(', ')} for ${this.shape.op}, received ${unknown[0]}`);
    }
  }
}

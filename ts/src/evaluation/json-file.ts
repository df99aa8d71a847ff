/** JSON files, and checks of what is in them: an error names the file, the entry and the field. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Box } from '../masks/iou.js';
import { InstasegError } from '../runtime/errors.js';
import { invalid } from '../runtime/validate.js';

/** The path of a string or a file: URL. Throws ERR_ARGUMENT for anything else. */
export function pathOf(path: string | URL): string {
  if (typeof path === 'string' && path !== '') return path;
  if (path instanceof URL && path.protocol === 'file:') return fileURLToPath(path);
  throw invalid('path', 'a file path or a file: URL', path instanceof URL ? path.href : path);
}

/** Reads a JSON file. Rejects with ERR_FILE when it cannot be read or is no JSON. */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    const reason = code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`;
    throw new InstasegError('ERR_FILE', `${path}: ${reason}`, { cause });
  }
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (cause) {
    throw new InstasegError('ERR_FILE', `${path}: is not JSON (${(cause as Error).message})`, { cause });
  }
}

/** A list of objects, as `Row`s. `where` names the list in errors. Throws ERR_ARGUMENT when it is none. */
export function* rowsOf(where: string, list: unknown): Generator<Row, void, undefined> {
  if (!Array.isArray(list)) throw invalid(where, 'an array', list);
  for (let i = 0; i < list.length; i++) {
    const value: unknown = list[i];
    if (!isObject(value)) throw invalid(`${where}[${i}]`, 'an object', value);
    yield new Row(where, i, value);
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object of a list. Its methods return a field, or throw ERR_ARGUMENT with the field's full name. */
export class Row {
  constructor(
    private readonly where: string,
    readonly index: number,
    private readonly fields: Record<string, unknown>,
  ) {}

  /** How errors call the row. */
  get name(): string {
    return `${this.where}[${this.index}]`;
  }

  has(field: string): boolean {
    return this.fields[field] !== undefined && this.fields[field] !== null;
  }

  invalid(field: string, expected: string): InstasegError {
    return invalid(`${this.name}.${field}`, expected, this.fields[field]);
  }

  integer(field: string, minimum = -Number.MAX_SAFE_INTEGER): number {
    const value = this.fields[field];
    if (Number.isSafeInteger(value) && (value as number) >= minimum) return value as number;
    throw this.invalid(field, minimum < 0 ? 'an integer' : `an integer of at least ${minimum}`);
  }

  number(field: string): number {
    const value = this.fields[field];
    if (Number.isFinite(value)) return value as number;
    throw this.invalid(field, 'a finite number');
  }

  /** 0, 1, false or true; absent is false. */
  flag(field: string): boolean {
    const value = this.fields[field] ?? 0;
    if (value === 0 || value === false) return false;
    if (value === 1 || value === true) return true;
    throw this.invalid(field, '0 or 1');
  }

  string(field: string): string {
    const value = this.fields[field];
    if (typeof value === 'string') return value;
    throw this.invalid(field, 'a string');
  }

  /** [x, y, width, height]; absent or an empty list is undefined. */
  box(field: string): Box | undefined {
    const value = this.fields[field] ?? [];
    if (!Array.isArray(value)) throw this.invalid(field, '[x, y, width, height]');
    if (value.length === 0) return undefined;
    if (value.length === 4 && value.every(Number.isFinite)) return value as unknown as Box;
    throw this.invalid(field, '[x, y, width, height] in finite numbers');
  }

  raw(field: string): unknown {
    return this.fields[field];
  }
}

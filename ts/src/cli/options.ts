/** Parsers of option values: each says what it expects; commander adds the option's name. */
import { existsSync, readFileSync } from 'node:fs';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { cacheDirectory, type DeviceName, type LoadOptions, type ZooOptions } from '../index.js';

function parseNumber(text: string): number {
  // Number() takes '' and '0x10' too.
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** An integer in [minimum, maximum]. */
export function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = parseNumber(text);
    if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`Expected an integer from ${minimum} to ${maximum}.`);
  };
}

/** A number in [0, 1]. */
export function fraction(text: string): number {
  const value = parseNumber(text);
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('Expected a number from 0 to 1.');
}

/** A finite number of at least 0. */
export function fromZero(text: string): number {
  const value = parseNumber(text);
  if (value >= 0 && value < Infinity) return value;
  throw new InvalidArgumentError('Expected a number of at least 0.');
}

function deviceName(text: string): DeviceName {
  if (/^(auto|cpu|cuda(:\d+)?)$/.test(text)) return text as DeviceName;
  throw new InvalidArgumentError('Expected auto, cpu, cuda or cuda:N.');
}

export const deviceOption = (): Option =>
  new Option('--device <name>', 'auto, cpu, cuda or cuda:N').argParser(deviceName).default('auto');

export const threadsOption = (): Option =>
  new Option('--threads <n>', 'threads of the CPU backend; by default the physical cores').argParser(integer(1, 1024));

export const isaOption = (): Option =>
  new Option('--isa <name>', 'highest CPU instruction set to use').choices(['baseline', 'avx2', 'avx512']);

export const precisionOption = (): Option =>
  new Option('--precision <name>', 'arithmetic of feature maps; other than f32 on CUDA devices')
    .choices(['f32', 'tf32', 'f16', 'bf16'])
    .default('f32');

export const modelOption = (): Option =>
  new Option('--model <name>', 'what the weights are, where names and shapes do not tell: yolact_im700, yolact_im400');

export const classNamesOption = (): Option =>
  new Option(
    '--class-names <file|a,b,c>',
    'names of the classes, without the background or with it (first; in detectron2 last): a list with commas, or a file ' +
      'with one a line or a JSON array',
  ).argParser(classNames);

/** Class names from a list with commas, or from a file. A word without commas that is no file is one name. */
function classNames(text: string): string[] {
  const isFile = !text.includes(',') && (existsSync(text) || /[/\\]|\.(txt|json|names)$/i.test(text));
  const names = isFile ? readNames(text) : text.split(',').map((name) => name.trim());
  if (names.length > 0 && names.every((name) => name !== '')) return names;
  throw new InvalidArgumentError('Expected names that are not empty.');
}

function readNames(path: string): string[] {
  let content: string;
  try {
    content = readFileSync(path, 'utf8').replace(/^\ufeff/, '');
  } catch (error) {
    throw new InvalidArgumentError(
      `The file cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}).`,
    );
  }
  if (!content.trimStart().startsWith('[')) {
    const lines = content.split(/\r?\n/).map((line) => line.trim());
    return lines.filter((line) => line !== '');
  }
  const names = parseJson(content);
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw new InvalidArgumentError('Expected a JSON array of strings in the file.');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Flags of commands that take the name of a published model: where its file comes from. */
export type ZooFlags = Pick<ZooOptions, 'cacheDir' | 'offline' | 'mirror'>;

export const addZooOptions = (command: Command): Command =>
  command
    .option('--cache-dir <folder>', `folder of downloaded files (now ${cacheDirectory()})`)
    .option('--offline', 'never use the network: what is not there is an error')
    .option('--mirror <url>', 'address of a copy of a cache folder, to download from instead');

/** Of flags among others, what says where published files come from. */
export const zooOptions = ({ cacheDir, offline, mirror }: ZooFlags): ZooFlags => ({ cacheDir, offline, mirror });

/** Flags of commands that load a model. */
export interface ModelFlags
  extends ZooFlags, Pick<LoadOptions, 'device' | 'precision' | 'threads' | 'isa' | 'classNames' | 'model'> {}

export const addModelOptions = (command: Command): Command =>
  addZooOptions(
    command
      .addOption(deviceOption())
      .addOption(precisionOption())
      .addOption(threadsOption())
      .addOption(isaOption())
      .addOption(classNamesOption())
      .addOption(modelOption()),
  );

import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { InstasegError } from '../runtime/errors.js';
import { abortSignal, callback, optional, readOptions, requireObject, type OptionChecks } from '../runtime/options.js';
import { invalid, requireFunction, requireOneOf } from '../runtime/validate.js';
import type { Checkpoint } from './checkpoint.js';
import { isErrno, type SourceFile, toPath } from './source-file.js';
import {
  byteLength,
  type CheckpointDType,
  checkpointError,
  describeTensor,
  isShape,
  ITEM_SIZE,
  requireTensor,
  type TensorInfo,
} from './tensor-info.js';

// The safetensors format (https://github.com/huggingface/safetensors): a little-endian u64 header length, a JSON header
// { name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__": { string: string } }, then the data, which the
// tensors cover without holes or overlap; the offsets count from the end of the header.

const DTYPES: Readonly<Record<string, CheckpointDType>> = {
  F64: 'f64',
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  I64: 'i64',
  I32: 'i32',
  I16: 'i16',
  I8: 'i8',
  U8: 'u8',
  BOOL: 'bool',
};
const DTYPE_CODES = Object.fromEntries(Object.entries(DTYPES).map(([code, dtype]) => [dtype, code]));

const METADATA_KEY = '__metadata__';

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** The data starts at a multiple of this, so that a reader may map the file. */
const HEADER_ALIGNMENT = 8;

interface Placed extends TensorInfo {
  readonly begin: number;
  readonly end: number;
}

/** Reads the header of a safetensors file and checks all of it; ERR_CHECKPOINT says what is wrong. */
export async function openSafetensors(file: SourceFile): Promise<Checkpoint> {
  const headerBytes = await readHeaderLength(file);
  const dataStart = 8 + headerBytes;
  const header = parseHeader(file, await file.bytes(8, dataStart));
  const { [METADATA_KEY]: metadata = {}, ...entries } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw checkpointError(file.path, 'the safetensors metadata is not a map of strings');
  }
  const tensors = new Map(Object.entries(entries).map(([name, entry]) => [name, parseEntry(file, name, entry)]));
  checkLayout(file, [...tensors.values()], file.size - dataStart);
  const close = (): Promise<void> => file.close();
  return {
    path: file.path,
    format: 'safetensors',
    metadata: metadata as Record<string, string>,
    tensors,
    stateDictPrefix: '',
    bytes: file.size,
    async *read(name) {
      const { begin, end } = requireTensor(tensors, name, file.path);
      yield* file.read(dataStart + begin, dataStart + end);
    },
    verify: () => Promise.resolve(), // the layout has been checked, and there are no checksums
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function readHeaderLength(file: SourceFile): Promise<number> {
  const length = (await file.bytes(0, 8)).readBigUInt64LE();
  if (length > MAX_HEADER_BYTES) {
    throw checkpointError(file.path, `the safetensors header claims ${length} bytes, the limit is ${MAX_HEADER_BYTES}`);
  }
  if (8 + Number(length) > file.size) {
    throw checkpointError(file.path, `the safetensors header needs ${length} bytes: the file is truncated`);
  }
  return Number(length);
}

function parseHeader(file: SourceFile, bytes: Buffer): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw checkpointError(file.path, 'the safetensors header is not valid JSON', error);
  }
  if (!isRecord(header)) throw checkpointError(file.path, 'the safetensors header is not a JSON object');
  const twice = findDuplicateKey(text);
  if (twice !== undefined) throw checkpointError(file.path, `the safetensors header has "${twice}" twice`);
  return header;
}

/** The first key that one object of a valid JSON text has twice; JSON.parse would keep the last one in silence. */
function findDuplicateKey(json: string): string | undefined {
  const seen: Set<string>[] = [];
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (char === '{') seen.push(new Set());
    else if (char === '}') seen.pop();
    else if (char === '"') {
      const start = at++;
      while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
      if (!isKeyEnd(json, at)) continue;
      const key = JSON.parse(json.slice(start, at + 1)) as string;
      const keys = seen.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

/** Whether the string that ends at `quote` is followed by a colon. */
function isKeyEnd(json: string, quote: number): boolean {
  let next = quote + 1;
  while (/\s/.test(json[next] ?? '')) next++;
  return json[next] === ':';
}

function parseEntry(file: SourceFile, name: string, entry: unknown): Placed {
  const fail = (problem: string): never => {
    throw checkpointError(file.path, `the safetensors header is broken: tensor "${name}" ${problem}`);
  };
  if (!isRecord(entry)) return fail('is not an object');
  const { dtype: code, shape, data_offsets: offsets } = entry;
  const dtype = typeof code === 'string' && Object.hasOwn(DTYPES, code) ? DTYPES[code] : undefined;
  if (dtype === undefined) return fail(`has the unsupported dtype ${JSON.stringify(code)}`);
  if (!isShape(shape)) return fail(`has the invalid shape ${JSON.stringify(shape)}`);
  if (!isRange(offsets)) return fail(`has the invalid byte range ${JSON.stringify(offsets)}`);
  const [begin, end] = offsets;
  const bytes = byteLength({ dtype, shape });
  if (end - begin !== bytes)
    return fail(`(${describeTensor({ dtype, shape })}) needs ${bytes} bytes, has ${end - begin}`);
  return { name, dtype, shape, begin, end };
}

/** The tensors have to tile the data: that rules out overlap, holes, and anything outside the file at once. */
function checkLayout(file: SourceFile, tensors: readonly Placed[], dataBytes: number): void {
  let at = 0;
  for (const { name, begin, end } of [...tensors].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < at) throw checkpointError(file.path, `tensor "${name}" overlaps the tensor before it`);
    if (begin > at) throw checkpointError(file.path, `there is a hole of ${begin - at} bytes before tensor "${name}"`);
    at = end;
  }
  if (at > dataBytes) {
    throw checkpointError(file.path, `the tensors need ${at} bytes, the file has ${dataBytes}: the file is truncated`);
  }
  if (at < dataBytes) throw checkpointError(file.path, `has ${dataBytes - at} bytes after the last tensor`);
}

const isRange = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every((offset) => Number.isSafeInteger(offset) && offset >= 0);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A tensor to write: `read` gives its contiguous little-endian bytes, in chunks of any size. */
export interface TensorSource extends TensorInfo {
  /** The bytes, little-endian and row-major, in pieces of any size. */
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Options of {@link writeSafetensors}. */
export interface WriteSafetensorsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after every tensor. */
  readonly onTensor?: ((info: TensorInfo, bytesWritten: number) => void) | undefined;
}

const OPTIONS = {
  signal: abortSignal,
  onTensor: optional(callback<[TensorInfo, number]>),
} satisfies OptionChecks<WriteSafetensorsOptions>;

/**
 * Writes a safetensors file and returns its size in bytes. The header lists the names in order; the data follow by
 * element size and name, so that each tensor lies at a multiple of its element size. The data are streamed, and the
 * file appears under its name only when it is complete: any failure leaves an older file of that name as it was.
 * @throws InstasegError ERR_ARGUMENT (duplicate or reserved names, data of another length than the shape), ERR_FILE; what
 *   `read` throws; or the signal's reason
 */
export async function writeSafetensors(
  path: string | URL,
  tensors: Iterable<TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
  options: WriteSafetensorsOptions = {},
): Promise<number> {
  const target = toPath(path);
  const { signal, onTensor } = readOptions('writeSafetensors', options, OPTIONS);
  const ordered = requireSources(tensors).sort((a, b) => ITEM_SIZE[b.dtype] - ITEM_SIZE[a.dtype] || compareNames(a, b));
  const header = encodeHeader(ordered, requireMetadata(metadata));
  const temporary = `${target}.${randomUUID()}.tmp`;
  signal?.throwIfAborted();
  const out = await open(temporary, 'wx').catch((error: unknown) => {
    throw new InstasegError('ERR_FILE', `${target}: cannot be written (${String(error)})`, { cause: error });
  });
  try {
    let total = header.length;
    await writeAll(out, header);
    for (const tensor of ordered) {
      total += await writeTensor(out, tensor, signal);
      onTensor?.(tensor, total);
    }
    await out.sync();
    await out.close();
    await rename(temporary, target);
    return total;
  } catch (error) {
    await out.close().catch(() => undefined);
    await rm(temporary, { force: true });
    if (isErrno(error))
      throw new InstasegError('ERR_FILE', `${target}: cannot be written (${error.code})`, { cause: error });
    throw error;
  }
}

function requireSources(tensors: unknown): TensorSource[] {
  if (typeof (tensors as { [Symbol.iterator]?: unknown } | null | undefined)?.[Symbol.iterator] !== 'function') {
    throw invalid('tensors', 'an iterable of tensors', tensors);
  }
  return Array.from(tensors as Iterable<unknown>, (tensor, i) => {
    const { name, dtype, shape, read } = requireObject(`tensors[${i}]`, tensor);
    if (typeof name !== 'string') throw invalid(`tensors[${i}].name`, 'a string', name);
    requireOneOf(`tensors[${i}].dtype`, dtype, Object.keys(ITEM_SIZE));
    if (!isShape(shape)) throw invalid(`tensors[${i}].shape`, 'a list of sizes', shape);
    requireFunction(`tensors[${i}].read`, read);
    return tensor as TensorSource;
  });
}

function requireMetadata(metadata: unknown): Readonly<Record<string, string>> {
  const entries = requireObject('metadata', metadata);
  for (const [name, value] of Object.entries(entries)) {
    if (typeof value !== 'string') throw invalid(`metadata.${name}`, 'a string', value);
  }
  return entries as Record<string, string>;
}

async function writeAll(out: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await out.write(bytes, at, bytes.length - at)).bytesWritten;
}

async function writeTensor(out: FileHandle, tensor: TensorSource, signal: AbortSignal | undefined): Promise<number> {
  const expected = byteLength(tensor);
  let written = 0;
  for await (const chunk of tensor.read()) {
    signal?.throwIfAborted();
    await writeAll(out, chunk);
    written += chunk.length;
  }
  if (written !== expected) {
    throw new InstasegError(
      'ERR_ARGUMENT',
      `Expected ${expected} bytes for tensor "${tensor.name}" (${describeTensor(tensor)}), received ${written}`,
    );
  }
  return written;
}

function encodeHeader(ordered: readonly TensorSource[], metadata: Readonly<Record<string, string>>): Buffer {
  const entries = new Map<string, object>();
  let begin = 0;
  for (const { name, dtype, shape } of ordered) {
    if (name === METADATA_KEY || entries.has(name)) {
      throw new InstasegError('ERR_ARGUMENT', `Expected different tensor names, received "${name}" twice or reserved`);
    }
    const end = begin + byteLength({ dtype, shape });
    entries.set(name, { dtype: DTYPE_CODES[dtype], shape, data_offsets: [begin, end] });
    begin = end;
  }
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  // Joined by hand: an object would sort names like "12" first and lose one called "__proto__".
  const fields = [[METADATA_KEY, metadata] as const, ...sorted].map(
    ([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`,
  );
  const json = Buffer.from(`{${fields.join(',')}}`);
  const padded = Math.ceil(json.length / HEADER_ALIGNMENT) * HEADER_ALIGNMENT;
  const header = Buffer.alloc(8 + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded));
  json.copy(header, 8);
  return header;
}

const compareNames = (a: TensorInfo, b: TensorInfo): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

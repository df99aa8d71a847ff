import { readFile } from 'node:fs/promises';
import { parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import type { Sharp } from 'sharp';
import { onAbort } from '../runtime/abort.js';
import { InstasegError } from '../runtime/errors.js';
import { flag, optional, readOptions, abortSignal, type OptionChecks } from '../runtime/options.js';
import { show } from '../runtime/validate.js';
import { classifyInput, describeInput, type ClassifiedInput, type ImageInput } from './input.js';
import { rawToRgb } from './raw.js';
import { loadSharp } from './sharp.js';

/**
 * RGB, interleaved, rows top to bottom, no padding: width * height * 3 values of 0 to 255, floats only when the raw
 * input was Float32Array. It is an `ImageInput` itself (decoding it again copies it).
 */
export interface DecodedImage {
  readonly data: Uint8Array | Float32Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  /** The file's base name without extension, when the input was a path or URL. */
  readonly name?: string;
}

/** Options of {@link decodeImage}. */
export interface DecodeOptions {
  /** Aborts the call with `signal.reason`. */
  signal?: AbortSignal;
  /** Whether the EXIF orientation is applied, so that coordinates are those of the displayed image; by default true. */
  applyOrientation?: boolean;
}

const OPTIONS = { signal: abortSignal, applyOrientation: optional(flag) } satisfies OptionChecks<DecodeOptions>;

/**
 * Decodes an image to RGB as PIL's convert('RGB') does, since the networks were trained on that: grey is spread over
 * three channels; alpha is dropped (colours as stored, not composited over anything); 16-bit files keep their high
 * byte; palettes are expanded; embedded ICC profiles of RGB and grey images are not applied. Unlike there, CMYK is
 * converted through its profile, or a common one where it has none. Animations give their first frame. Files of floats
 * or 32-bit integers are refused: nothing says what their values mean. A sharp instance gives what its own options and
 * operations say, profiles included.
 * @throws InstasegError ERR_FILE (a file missing or unreadable), ERR_IMAGE (not an image, damaged, cut short, too large),
 *   ERR_ARGUMENT (not an image input); or the signal's reason
 */
export async function decodeImage(input: ImageInput, options: DecodeOptions = {}): Promise<DecodedImage> {
  const { signal, applyOrientation = true } = readOptions('decodeImage', options, OPTIONS);
  signal?.throwIfAborted();
  const source = classifyInput(input);
  if (source === undefined)
    throw new InstasegError(
      'ERR_ARGUMENT',
      'expected an image as a path, file: URL, encoded bytes, sharp instance or { data, width, height, channels? } ' +
        `with a typed array, received ${describeValue(input)}`,
    );
  return abortable(decodeSource(source, applyOrientation, signal), signal);
}

async function decodeSource(
  source: ClassifiedInput,
  applyOrientation: boolean,
  signal: AbortSignal | undefined,
): Promise<DecodedImage> {
  switch (source.kind) {
    case 'raw':
      return { data: rawToRgb(source.raw), width: source.raw.width, height: source.raw.height, channels: 3 };
    case 'sharp':
      return decodePipeline(source.sharp.clone(), applyOrientation, source);
    case 'bytes':
      return decodeBytes(source.bytes, applyOrientation, source);
    case 'path':
    case 'url': {
      const path = filePath(source);
      const bytes = await readImageFile(path, signal);
      return { ...(await decodeBytes(bytes, applyOrientation, source)), name: parse(path).name };
    }
  }
}

function filePath(source: ClassifiedInput & { kind: 'path' | 'url' }): string {
  if (source.kind === 'url' && source.url.protocol === 'file:') {
    try {
      return fileURLToPath(source.url.href);
    } catch (cause) {
      throw new InstasegError('ERR_ARGUMENT', `not the URL of a local file: ${source.url.href}`, { cause });
    }
  }
  const text = source.kind === 'url' ? source.url.href : source.path;
  if (source.kind === 'url' || /^(https?:\/\/|data:|blob:)/i.test(text))
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected a path or file: URL, received '${text.slice(0, 100)}'; fetch it first and pass its bytes`,
    );
  if (/^file:\/\//i.test(text))
    throw new InstasegError('ERR_ARGUMENT', `expected a path, received the string '${text}'; pass new URL(...)`);
  return text;
}

async function readImageFile(path: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  try {
    return await readFile(path, signal === undefined ? {} : { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    const { code, message } = cause as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      ENOENT: 'it does not exist',
      EISDIR: 'it is a directory',
      EACCES: 'permission denied',
      EPERM: 'permission denied',
    };
    throw new InstasegError('ERR_FILE', `cannot read '${path}': ${reasons[code ?? ''] ?? message}`, { cause });
  }
}

async function decodeBytes(
  bytes: Uint8Array,
  applyOrientation: boolean,
  source: ClassifiedInput,
): Promise<DecodedImage> {
  if (bytes.byteLength === 0)
    throw new InstasegError('ERR_IMAGE', `cannot decode ${describeInput(source)}: it is empty`);
  const sharp = await loadSharp();
  // libvips reads the bytes on another thread, so memory that other threads may write is copied first. A new view,
  // because sharp knows the typed arrays of its own realm only.
  const own = types.isSharedArrayBuffer(bytes.buffer)
    ? Uint8Array.from(bytes)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open = (ignoreIcc: boolean): Sharp => sharp(own, { failOn: 'error', ignoreIcc });
  const { space, depth } = await explained(open(true).metadata(), source);
  if (depth !== 'uchar' && depth !== 'ushort' && !space.startsWith('lab'))
    throw new InstasegError(
      'ERR_IMAGE',
      `cannot decode ${describeInput(source)}: its ${depth} samples have no fixed range; scale them to 0 to 255 and ` +
        'pass { data: Float32Array, width, height, channels }',
    );
  return decodePipeline(open(space !== 'cmyk'), applyOrientation, source);
}

async function decodePipeline(
  pipeline: Sharp,
  applyOrientation: boolean,
  source: ClassifiedInput,
): Promise<DecodedImage> {
  const oriented = applyOrientation ? pipeline.autoOrient() : pipeline;
  const pixels = oriented.removeAlpha().toColourspace('srgb').raw({ depth: 'uchar' });
  const { data, info } = await explained(pixels.toBuffer({ resolveWithObject: true }), source);
  const { width, height, channels } = info;
  if (channels === 3)
    return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height, channels };
  return { data: rawToRgb({ data, width, height, channels }), width, height, channels: 3 };
}

/** Turns what sharp rejects with into ERR_IMAGE, naming the input. */
async function explained<T>(work: Promise<T>, source: ClassifiedInput): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const reason = firstLine(cause);
    const hint = /pixel limit/i.test(reason)
      ? '; to decode it nevertheless pass sharp(file, { limitInputPixels: false })'
      : '';
    throw new InstasegError('ERR_IMAGE', `cannot decode ${describeInput(source)}: ${reason}${hint}`, { cause });
  }
}

/** What sharp says, without the read positions that libvips lists ahead of it for some damaged files. */
function firstLine(cause: unknown): string {
  const lines = String((cause as Error).message).split('\n');
  return (lines.find((line) => line.trim() !== '' && !line.startsWith('source: ')) ?? lines[0]!).trim();
}

/** Settles as `work` does, or at once when the signal aborts: decoding itself cannot be stopped and ends unheard. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let forget = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    forget = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    forget();
  }
}

/** Values of 0 to 255 as bytes: floats are rounded and clamped, bytes are returned as they are. */
export function toBytes(data: Uint8Array | Float32Array): Uint8Array {
  if (types.isUint8Array(data)) return data;
  const clamped = Uint8ClampedArray.from(data);
  return new Uint8Array(clamped.buffer);
}

function describeValue(value: unknown): string {
  // Not the keys of an array of numbers: there may be millions.
  if (typeof value !== 'object' || value === null || types.isArrayBufferView(value)) return show(value);
  return Array.isArray(value) ? 'an array' : `an object with ${Object.keys(value).slice(0, 8).join(', ') || 'no keys'}`;
}

import { types } from 'node:util';
import type { Sharp } from 'sharp';

/**
 * Pixels in memory: rows top to bottom, channels interleaved. 1 channel is grey, 2 grey and alpha, 3 RGB, 4 RGBA;
 * alpha is ignored. Without `channels` there are 4, as in ImageData. Integers use their whole range; floats are 0 to
 * 255 and must be finite.
 */
export interface RawImage {
  readonly data: Uint8Array | Uint8ClampedArray | Uint16Array | Float32Array;
  readonly width: number;
  readonly height: number;
  readonly channels?: 1 | 2 | 3 | 4;
  /** Elements (not bytes) from one row to the next; by default width * channels. */
  readonly stride?: number;
}

/**
 * An image: a path, a file: URL, the bytes of an encoded file (JPEG, PNG, WebP, GIF, TIFF, AVIF ...; Buffer included),
 * raw pixels, or a sharp instance. Bytes and pixels must not change until the call has settled.
 */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | RawImage | Sharp;

/** The input sorted by kind. Tests work across realms and package copies, so nothing here relies on instanceof. */
export type ClassifiedInput =
  | { kind: 'path'; path: string }
  | { kind: 'url'; url: URL }
  | { kind: 'bytes'; bytes: Uint8Array }
  | { kind: 'raw'; raw: RawImage }
  | { kind: 'sharp'; sharp: Sharp };

/** Sorts an input by kind; undefined when it is no image input at all. */
export function classifyInput(input: unknown): ClassifiedInput | undefined {
  if (typeof input === 'string') return { kind: 'path', path: input };
  if (types.isUint8Array(input)) return { kind: 'bytes', bytes: input };
  if (types.isAnyArrayBuffer(input)) return { kind: 'bytes', bytes: new Uint8Array(input) };
  if (typeof input !== 'object' || input === null) return undefined;
  if (isUrl(input)) return { kind: 'url', url: input };
  if (isSharp(input)) return { kind: 'sharp', sharp: input };
  if (isRaw(input)) return { kind: 'raw', raw: input };
  return undefined;
}

function isUrl(input: object): input is URL {
  return 'href' in input && typeof input.href === 'string' && 'protocol' in input && typeof input.protocol === 'string';
}

function isSharp(input: object): input is Sharp {
  return ['clone', 'metadata', 'toBuffer', 'removeAlpha', 'toColourspace', 'raw'].every(
    (method) => typeof (input as Record<string, unknown>)[method] === 'function',
  );
}

function isRaw(input: object): input is RawImage {
  return 'data' in input && types.isTypedArray(input.data) && 'width' in input && 'height' in input;
}

/** Names an input in an error message. */
export function describeInput(input: ClassifiedInput): string {
  switch (input.kind) {
    case 'path':
      return `'${input.path}'`;
    case 'url':
      return `'${input.url.href}'`;
    case 'bytes':
      return `the image in ${input.bytes.byteLength} bytes`;
    case 'raw':
      return `the raw image of ${input.raw.width}x${input.raw.height}`;
    case 'sharp':
      return 'the image of the sharp instance';
  }
}

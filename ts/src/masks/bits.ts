import { types } from 'node:util';
import { InstasegError } from '../runtime/errors.js';
import { requireObject } from '../runtime/options.js';
import { invalid, show } from '../runtime/validate.js';

/** An axis-aligned part of an image, in whole pixels. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * A binary mask of an image, stored only inside `region`; every pixel outside it is 0.
 *
 * `words` has `region.height` rows, top to bottom, of ceil(region.width / 32) words each. Pixel x of a row is bit
 * `x & 31` of word `x >> 5`; as bytes (little-endian) bit `x & 7` of byte `x >> 3`. Bits past the width are 0.
 */
export interface MaskBits {
  readonly imageWidth: number;
  readonly imageHeight: number;
  readonly region: Region;
  readonly words: Uint32Array;
}

/** A bitmap of 0 and 1, row-major without padding. `x`, `y`: where its first pixel lies in the image. */
export interface Bitmap {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly x: number;
  readonly y: number;
}

/** Run lengths are unsigned 32-bit numbers, here as in the official COCO code. */
const MAX_PIXELS = 2 ** 32 - 1;

/** Throws ERR_ARGUMENT unless both sides are positive integers and the image has less than 2^32 pixels. */
export function checkImageSize(width: number, height: number): void {
  if (!isSize(width) || !isSize(height) || width * height > MAX_PIXELS)
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected a mask of at least 1x1 and less than 2^32 pixels, received ${show(width)}x${show(height)} (width x height)`,
    );
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

/** Words in a row of `width` pixels. */
export function wordsPerRow(width: number): number {
  return Math.ceil(width / 32);
}

/** The position of the lowest set bit of a word that is not 0. */
export function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** The number of set bits of a 32-bit word. */
export function popcount(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Throws ERR_ARGUMENT unless the region lies in the image, the words match it and the padding bits are 0. */
export function checkBits(bits: MaskBits): void {
  const { imageWidth, imageHeight, region, words } = requireObject('bits', bits) as unknown as MaskBits;
  if (!types.isUint32Array(words)) throw invalid('words', 'a Uint32Array', words);
  checkImageSize(imageWidth, imageHeight);
  const { x, y, width, height } = requireObject('region', region) as unknown as Region;
  const whole = [x, y, width, height].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!whole || x + width > imageWidth || y + height > imageHeight)
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected a region of whole pixels inside the ${imageWidth}x${imageHeight} image, received ` +
        `x ${x}, y ${y}, width ${width}, height ${height}`,
    );
  const stride = wordsPerRow(width);
  if (words.length !== stride * height)
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected ${stride * height} words for a region of ${width}x${height}, received ${words.length}`,
    );
  const padding = width % 32 === 0 ? 0 : -1 << (width % 32);
  for (let last = stride - 1; last < words.length && padding !== 0; last += stride) {
    if ((words[last]! & padding) !== 0)
      throw new InstasegError('ERR_ARGUMENT', `mask row ${Math.floor(last / stride)} has bits set past its width`);
  }
}

/** The number of pixels in the mask. */
export function countBits({ words }: MaskBits): number {
  let area = 0;
  for (let i = 0; i < words.length; i++) area += popcount(words[i]!);
  return area;
}

/** Whether the pixel (x, y) of the image belongs to the mask; false outside the region and for fractions. */
export function getBit({ region, words }: MaskBits, x: number, y: number): boolean {
  const column = x - region.x;
  const row = y - region.y;
  if (!(column >= 0 && column < region.width && row >= 0 && row < region.height)) return false;
  const word = words[row * wordsPerRow(region.width) + (column >> 5)] ?? 0;
  return ((word >>> (column & 31)) & 1) === 1;
}

/** The smallest region that holds every set pixel, in image coordinates; 0x0 when the mask is empty. */
export function tightRegion({ region, words }: MaskBits): Region {
  const stride = wordsPerRow(region.width);
  const columns = new Uint32Array(stride);
  let top = -1;
  let bottom = -1;
  for (let row = 0, i = 0; row < region.height; row++) {
    let any = 0;
    for (let column = 0; column < stride; column++, i++) {
      any |= words[i]!;
      columns[column]! |= words[i]!;
    }
    if (any === 0) continue;
    if (top < 0) top = row;
    bottom = row;
  }
  if (top < 0) return { x: region.x, y: region.y, width: 0, height: 0 };
  const first = columns.findIndex((word) => word !== 0);
  const last = columns.findLastIndex((word) => word !== 0);
  const left = first * 32 + lowestBit(columns[first]!);
  const right = last * 32 + 31 - Math.clz32(columns[last]!);
  return { x: region.x + left, y: region.y + top, width: right - left + 1, height: bottom - top + 1 };
}

/**
 * Packs a full bitmap (row-major, not 0 is inside), keeping only the bounding box of its pixels.
 * Throws ERR_ARGUMENT when `data` does not have width * height elements.
 */
export function packBitmap(data: Uint8Array | Uint8ClampedArray, width: number, height: number): MaskBits {
  checkImageSize(width, height);
  if (!types.isUint8Array(data) && !types.isUint8ClampedArray(data)) throw invalid('data', 'a Uint8Array', data);
  if (data.length !== width * height)
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected a bitmap of ${width}x${height} = ${width * height} elements, received ${data.length}`,
    );
  const region = bitmapBounds(data, width, height);
  const stride = wordsPerRow(region.width);
  const words = new Uint32Array(stride * region.height);
  for (let row = 0; row < region.height; row++) {
    const from = (region.y + row) * width + region.x;
    for (let column = 0; column < region.width; column++) {
      if (data[from + column] !== 0) words[row * stride + (column >> 5)]! |= 1 << (column & 31);
    }
  }
  return { imageWidth: width, imageHeight: height, region, words };
}

function bitmapBounds(data: Uint8Array | Uint8ClampedArray, width: number, height: number): Region {
  let [left, right, top, bottom] = [width, -1, -1, -1];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] === 0) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (top < 0) top = y;
      bottom = y;
    }
  }
  if (top < 0) return { x: 0, y: 0, width: 0, height: 0 };
  return { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

/**
 * Expands the mask to bytes that are `value` (default 1) inside and 0 outside.
 * The bitmap covers `window`, a region of the image in image coordinates; by default the whole image.
 */
export function unpackBits(bits: MaskBits, window: Region = wholeImage(bits), value = 1): Bitmap {
  const { region, words } = bits;
  const data = new Uint8Array(window.width * window.height);
  const stride = wordsPerRow(region.width);
  const top = Math.max(region.y, window.y);
  const bottom = Math.min(region.y + region.height, window.y + window.height);
  for (let y = top; y < bottom; y++) {
    const row = (y - window.y) * window.width;
    for (let i = 0; i < stride; i++) {
      for (let word = words[(y - region.y) * stride + i]!; word !== 0; word &= word - 1) {
        const x = region.x + i * 32 + lowestBit(word) - window.x;
        if (x >= 0 && x < window.width) data[row + x] = value;
      }
    }
  }
  return { data, width: window.width, height: window.height, x: window.x, y: window.y };
}

function wholeImage(bits: MaskBits): Region {
  return { x: 0, y: 0, width: bits.imageWidth, height: bits.imageHeight };
}

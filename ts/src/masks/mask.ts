import { InstasegError } from '../runtime/errors.js';
import { flag, optional, readOptions, requireObject } from '../runtime/options.js';
import { invalid } from '../runtime/validate.js';
import type * as Decoding from '../image/decode.js';
import type { ImageInput } from '../image/input.js';
import { loadSharp } from '../image/sharp.js';
import {
  checkBits,
  countBits,
  getBit,
  packBitmap,
  tightRegion,
  unpackBits,
  type Bitmap,
  type MaskBits,
  type Region,
} from './bits.js';
import { tracePolygons, type MultiPolygon, type Polygon, type PolygonOptions } from './polygons.js';
import { decodeRle, encodeRle, type Rle, type RleInput } from './rle.js';

const CROP_OPTIONS = { crop: optional(flag) };

/**
 * The mask of one object in an image. It holds one bit for each pixel of `region` in plain JavaScript memory; there is
 * nothing to dispose. Coordinates are pixels of the image.
 */
export class Mask {
  /** Width of the image. */
  readonly width: number;
  /** Height of the image. */
  readonly height: number;
  /** The part of the image that the bits cover; it may be larger than the object. */
  readonly region: Region;
  readonly #words: Uint32Array;
  #area: number | undefined;

  /**
   * Takes the bits over without a copy.
   * @throws InstasegError ERR_ARGUMENT when they do not fit together
   */
  constructor(bits: MaskBits) {
    checkBits(bits);
    this.width = bits.imageWidth;
    this.height = bits.imageHeight;
    this.region = Object.freeze({ ...bits.region });
    this.#words = bits.words;
  }

  /**
   * From any form of COCO RLE.
   * @throws InstasegError ERR_ARGUMENT when it is malformed
   */
  static fromRLE(rle: RleInput): Mask {
    return new Mask(decodeRle(rle));
  }

  /**
   * From a row-major bitmap of the whole image, in which everything but 0 is inside.
   * @throws InstasegError ERR_ARGUMENT when its size is not that of its data
   */
  static fromBitmap(bitmap: { data: Uint8Array | Uint8ClampedArray; width: number; height: number }): Mask {
    const { data, width, height } = requireObject('bitmap', bitmap) as typeof bitmap;
    return new Mask(packBitmap(data, width, height));
  }

  /** The packed bits, not a copy. */
  get bits(): MaskBits {
    return { imageWidth: this.width, imageHeight: this.height, region: this.region, words: this.#words };
  }

  /** Number of pixels. */
  get area(): number {
    return (this.#area ??= countBits(this.bits));
  }

  /** Whether pixel (x, y) of the image belongs to the object; false outside the image. */
  at(x: number, y: number): boolean {
    if (typeof x !== 'number') throw invalid('x', 'a number', x);
    if (typeof y !== 'number') throw invalid('y', 'a number', y);
    return getBit(this.bits, x, y);
  }

  /** COCO RLE; `counts` is byte-equal to that of pycocotools. */
  toRLE(): Rle {
    return encodeRle(this.bits);
  }

  /** What JSON.stringify writes: the RLE. */
  toJSON(): Rle {
    return this.toRLE();
  }

  /** One byte a pixel, 0 or 1: of the whole image or, with `crop`, of `region` only. */
  toBitmap(options: { crop?: boolean } = {}): Bitmap {
    const { crop = false } = readOptions('toBitmap', options, CROP_OPTIONS);
    return unpackBits(this.bits, crop ? this.region : undefined);
  }

  /** Outer rings and holes along the pixel edges; see `PolygonOptions`. */
  toPolygons(options?: PolygonOptions): Polygon[] {
    return tracePolygons(this.bits, options);
  }

  /** The polygons as a GeoJSON geometry, in pixels; empty coordinates for an empty mask. */
  toGeoJSON(options?: PolygonOptions): MultiPolygon {
    return { type: 'MultiPolygon', coordinates: this.toPolygons(options) };
  }

  /** An 8-bit grey PNG of the whole image, 255 inside and 0 outside. */
  async toPNG(): Promise<Buffer> {
    const { data, width, height } = unpackBits(this.bits, undefined, 255);
    return encodePng(data, width, height, 1);
  }

  /**
   * A PNG of the object: the colours of `image`, transparent outside the mask, cropped to the object unless
   * `crop: false`. `image` is the one that the mask was found in.
   * @throws InstasegError ERR_ARGUMENT when the sizes differ, or the mask is empty and there is nothing to crop to; ERR_IMAGE
   *   or ERR_FILE when it cannot be decoded
   */
  async cutout(image: ImageInput, options: { crop?: boolean } = {}): Promise<Buffer> {
    const { crop = true } = readOptions('cutout', options, CROP_OPTIONS);
    const { decodeImage, toBytes } = require('../image/decode.js') as typeof Decoding;
    const decoded = await decodeImage(image);
    if (decoded.width !== this.width || decoded.height !== this.height)
      throw new InstasegError(
        'ERR_ARGUMENT',
        `expected the ${this.width}x${this.height} image of the mask, received one of ${decoded.width}x${decoded.height}`,
      );
    const whole = { x: 0, y: 0, width: this.width, height: this.height };
    const window = crop ? tightRegion(this.bits) : whole;
    if (window.width === 0) throw new InstasegError('ERR_ARGUMENT', 'the mask is empty: there is nothing to cut out');
    const alpha = unpackBits(this.bits, window, 255).data;
    return encodePng(withAlpha(toBytes(decoded.data), this.width, window, alpha), window.width, window.height, 4);
  }
}

/** RGBA pixels of a window of an RGB image; black where alpha is 0, so that nothing hidden is given away. */
function withAlpha(rgb: Uint8Array, imageWidth: number, window: Region, alpha: Uint8Array): Uint8Array {
  const rgba = new Uint8Array(alpha.length * 4);
  for (let row = 0, i = 0; row < window.height; row++) {
    let from = ((window.y + row) * imageWidth + window.x) * 3;
    for (let column = 0; column < window.width; column++, i++, from += 3) {
      if (alpha[i] === 0) continue;
      rgba[i * 4] = rgb[from]!;
      rgba[i * 4 + 1] = rgb[from + 1]!;
      rgba[i * 4 + 2] = rgb[from + 2]!;
      rgba[i * 4 + 3] = 255;
    }
  }
  return rgba;
}

async function encodePng(data: Uint8Array, width: number, height: number, channels: 1 | 4): Promise<Buffer> {
  const sharp = await loadSharp();
  const image = sharp(data, { raw: { width, height, channels }, limitInputPixels: false });
  return (channels === 1 ? image.toColourspace('b-w') : image).png().toBuffer();
}

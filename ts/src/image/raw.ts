import { types } from 'node:util';
import { InstasegError } from '../runtime/errors.js';
import type { RawImage } from './input.js';

/** The RGB pixels of a raw image, copied: Uint8Array, or Float32Array when the input was one. Throws ERR_IMAGE. */
export function rawToRgb(raw: RawImage): Uint8Array | Float32Array {
  const layout = checkLayout(raw);
  const { data } = raw;
  if (types.isUint8Array(data) || types.isUint8ClampedArray(data)) {
    const rgb = new Uint8Array(raw.width * raw.height * 3);
    copyRgb(data, rgb, layout);
    return rgb;
  }
  if (types.isUint16Array(data)) return narrow(data, layout);
  if (types.isFloat32Array(data)) {
    const rgb = new Float32Array(raw.width * raw.height * 3);
    copyRgb(data, rgb, layout);
    checkFinite(rgb, raw.width);
    return rgb;
  }
  throw new InstasegError(
    'ERR_IMAGE',
    'expected the data of a raw image as Uint8Array, Uint8ClampedArray, Uint16Array or Float32Array, received ' +
      Object.prototype.toString.call(data).slice(8, -1),
  );
}

interface Layout {
  width: number;
  height: number;
  channels: number;
  stride: number;
}

function checkLayout(raw: RawImage): Layout {
  const { data, width, height, channels = 4 } = raw;
  const fail = (what: string): never => {
    throw new InstasegError('ERR_IMAGE', `raw image: ${what}`);
  };
  const isSize = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
  if (!isSize(width) || !isSize(height))
    fail(`expected whole width and height above 0, received ${String(width)}x${String(height)}`);
  if (![1, 2, 3, 4].includes(channels)) fail(`expected 1, 2, 3 or 4 channels, received ${String(channels)}`);

  const { stride = width * channels } = raw;
  if (!isSize(stride) || stride < width * channels)
    fail(`expected a stride of at least ${width * channels} elements (width * channels), received ${String(stride)}`);
  const needed = stride * (height - 1) + width * channels;
  const wanted = `${needed} elements for ${width}x${height} with ${channels} channels`;
  // Without a stride a longer array is a mistake too: most likely another number of channels.
  if (raw.stride === undefined && data.length !== needed) fail(`expected ${wanted}, received ${data.length}`);
  if (data.length < needed) fail(`expected at least ${wanted} and a stride of ${stride}, received ${data.length}`);
  return { width, height, channels, stride };
}

/** Spreads grey over the three channels and leaves alpha out. */
function copyRgb(from: ArrayLike<number>, to: Uint8Array | Uint16Array | Float32Array, layout: Layout): void {
  const { width, height, channels, stride } = layout;
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0, i = y * stride; x < width; x++, i += channels, o += 3) {
      to[o] = from[i]!;
      to[o + 1] = from[i + green]!;
      to[o + 2] = from[i + blue]!;
    }
  }
}

/** 16 to 8 bits: 65535 is 255, so values are divided by 257 and rounded (never a tie). */
function narrow(from: Uint16Array, layout: Layout): Uint8Array {
  const rgb = new Uint16Array(layout.width * layout.height * 3);
  copyRgb(from, rgb, layout);
  return Uint8Array.from(rgb, (value) => Math.round(value / 257));
}

function checkFinite(rgb: Float32Array, width: number): void {
  const at = rgb.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const pixel = Math.floor(at / 3);
  throw new InstasegError(
    'ERR_IMAGE',
    `raw image: expected finite values, received ${rgb[at]} at x ${pixel % width}, y ${Math.floor(pixel / width)}, ` +
      `channel ${at % 3}`,
  );
}

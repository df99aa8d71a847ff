// Damaged pictures: encoded ones of every format that is decoded, and raw ones that say wrong things about themselves.
import sharp from 'sharp';
import { mutate } from './mutations.mjs';

/** A small picture in every format. */
export async function encodedPictures() {
  const pixels = Buffer.from(Array.from({ length: 24 * 16 * 3 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24));
  const picture = () => sharp(pixels, { raw: { width: 24, height: 16, channels: 3 } });
  const sources = {
    'photo.jpg': picture().jpeg().withMetadata({ orientation: 6 }),
    'progressive.jpg': picture().jpeg({ progressive: true }),
    'cmyk.jpg': picture().toColourspace('cmyk').jpeg(),
    'rgb.png': picture().png(),
    'palette.png': picture().png({ palette: true, colours: 8 }),
    'deep.png': picture().toColourspace('rgb16').png(),
    'photo.webp': picture().webp(),
    'palette.gif': picture().gif(),
    'photo.tiff': picture().tiff({ compression: 'lzw' }),
  };
  return Promise.all(Object.entries(sources).map(async ([name, made]) => ({ name, bytes: await made.toBuffer() })));
}

export function makePicture(random, sources) {
  const source = random.pick(sources);
  return { name: source.name, ...mutate(source.bytes, random, sources) };
}

/** Sizes around those of the data, and what is no size. */
const SIZES = [0, 1, 2, 3, 4, 7, 12, 64, 100, 255, 2 ** 16, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -1, 0.5, 1e308];
const ODD = ['NaN', 'Infinity', '"8"', 'null', 'true', '{}', '[2]', 'undefined', '5n', 'Symbol()'];
const ARRAYS = [
  ...['Uint8Array', 'Uint8ClampedArray', 'Uint16Array', 'Float32Array', 'Buffer', 'SharedUint8Array'],
  ...['Int8Array', 'Float64Array', 'BigInt64Array', 'DataView', 'Array'],
];

/** A raw picture as text: fields with a number, or with the source text of something else. */
export function makeRawPicture(random) {
  const { below, pick } = random;
  const size = () => (below(12) === 0 ? pick(ODD) : String(below(3) === 0 ? pick(SIZES) : 1 + below(12)));
  const width = size();
  const height = size();
  const channels = below(3) === 0 ? undefined : below(4) === 0 ? size() : String(1 + below(4));
  const stride = below(3) === 0 ? size() : undefined;
  const fits = Number(stride ?? Number(width) * Number(channels ?? 4)) * Number(height);
  const length = below(3) > 0 && fits >= 0 && fits < 1e6 ? Math.floor(fits) : pick([0, 1, 3, 48, 1000]);
  const raw = {
    array: pick(ARRAYS),
    length,
    value: pick([0, 255, -1, 'NaN', 'Infinity']),
    width,
    height,
    channels,
    stride,
  };
  return { name: 'raw.json', steps: ['as drawn'], bytes: Buffer.from(JSON.stringify(raw)) };
}

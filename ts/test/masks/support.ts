import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'ava';
import { wordsPerRow, type MaskBits, type Region } from '../../src/masks/bits.js';

const REFERENCE = resolve('../shared/reference');

/** A test that needs the reference data of the official implementations; skipped, and counted so, where it is absent. */
export const testWithReference = existsSync(REFERENCE) ? test : test.skip;

export function referencePath(path: string): string {
  return resolve(REFERENCE, path);
}

export function readReference<T>(path: string): T {
  return JSON.parse(readFileSync(referencePath(path), 'utf8')) as T;
}

/** Uniform numbers in [0, 1), the same in every run. */
export function seededRandom(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    let mixed = Math.imul(seed ^ (seed >>> 16), 0x45d9f3b);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  };
}

/** A full-frame mask of 0 and 1, row-major. */
export interface Frame {
  data: Uint8Array;
  width: number;
  height: number;
}

/** '.#' pictures, rows separated by '|'. */
export function frame(picture: string): Frame {
  const rows = picture.split('|');
  const data = Uint8Array.from(rows.join(''), (pixel) => (pixel === '#' ? 1 : 0));
  return { data, width: rows[0]!.length, height: rows.length };
}

/** A frame that is 0 outside `region` and set with probability `density` in it. */
export function randomFrame(
  random: () => number,
  width: number,
  height: number,
  region: Region,
  density: number,
): Frame {
  const data = new Uint8Array(width * height);
  for (let y = region.y; y < region.y + region.height; y++) {
    for (let x = region.x; x < region.x + region.width; x++) data[y * width + x] = random() < density ? 1 : 0;
  }
  return { data, width, height };
}

/** Packs part of a frame bit by bit, straight from the description of the format. */
export function packNaively({ data, width, height }: Frame, region: Region): MaskBits {
  const stride = wordsPerRow(region.width);
  const bytes = Buffer.alloc(stride * 4 * region.height);
  for (let y = 0; y < region.height; y++) {
    for (let x = 0; x < region.width; x++) {
      if (data[(region.y + y) * width + region.x + x]) bytes[y * stride * 4 + (x >> 3)]! |= 1 << (x & 7);
    }
  }
  const words = Uint32Array.from({ length: stride * region.height }, (_, i) => bytes.readUInt32LE(i * 4));
  return { imageWidth: width, imageHeight: height, region, words };
}

/** Frames and regions around the width of a word, at the image's borders and inside, of every density. */
export function* maskCases(): Generator<{ frame: Frame; region: Region; bits: MaskBits; title: string }> {
  const random = seededRandom(7);
  for (const width of [1, 7, 31, 32, 33, 64, 65, 100]) {
    for (const height of [1, 2, 13]) {
      for (const density of [0, 0.1, 0.5, 0.95, 1]) {
        for (const inset of [0, 1, 5]) {
          const [x, y] = [Math.min(inset, width - 1), Math.min(inset, height - 1)];
          const region = { x, y, width: Math.max(width - 2 * x, 1), height: Math.max(height - 2 * y, 1) };
          const picture = randomFrame(random, width, height, region, density);
          const title = `${width}x${height}, density ${density}, region ${Object.values(region).join(',')}`;
          yield { frame: picture, region, bits: packNaively(picture, region), title };
        }
      }
    }
  }
}

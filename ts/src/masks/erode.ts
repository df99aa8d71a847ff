import { wordsPerRow, type MaskBits } from './bits.js';

/**
 * The mask without its outermost `steps` layers of pixels; whatever lies outside the region counts as 0. Layers are
 * taken alternately from 4 and from 8 neighbours, so that the rim is about equally wide in all directions.
 */
export function erode(bits: MaskBits, steps: number): MaskBits {
  let { words } = bits;
  for (let step = 0; step < steps; step++) words = erodeOnce(words, wordsPerRow(bits.region.width), step % 2 === 1);
  return { ...bits, words };
}

function erodeOnce(words: Uint32Array, stride: number, diagonals: boolean): Uint32Array {
  const level = new Uint32Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const column = i % stride;
    const before = column === 0 ? 0 : words[i - 1]! >>> 31;
    const after = column === stride - 1 ? 0 : words[i + 1]! << 31;
    level[i] = words[i]! & ((words[i]! << 1) | before) & ((words[i]! >>> 1) | after);
  }
  const across = diagonals ? level : words;
  const eroded = new Uint32Array(words.length); // the first and the last row have nothing above or below
  for (let i = stride; i < words.length - stride; i++)
    eroded[i] = level[i]! & across[i - stride]! & across[i + stride]!;
  return eroded;
}

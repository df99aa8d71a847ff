/**
 * COCO run-length encoding: the lengths of alternating runs of 0 and 1, first 0, over the image in column-major order
 * (down the first column, then the second ...). The compressed strings are byte-equal to those of pycocotools; the
 * format and the semantics are those of maskApi in github.com/cocodataset/cocoapi.
 */
import { types } from 'node:util';
import { InstasegError } from '../runtime/errors.js';
import { flag, optional, readOptions, requireObject } from '../runtime/options.js';
import { requireList } from '../runtime/validate.js';
import { checkImageSize, lowestBit, wordsPerRow, type MaskBits, type Region } from './bits.js';

/** A mask as COCO stores it in JSON: `size` is [height, width], `counts` the compressed run lengths. */
export interface Rle {
  size: [height: number, width: number];
  counts: string;
}

/** Run lengths as numbers; they sum to height * width. */
export interface RunLengths {
  readonly size: readonly [height: number, width: number];
  readonly counts: Uint32Array;
}

/**
 * Every form of COCO RLE that is found in the wild: compressed counts as a string or as its ASCII bytes (Uint8Array,
 * Buffer), or uncompressed counts as a list of integers.
 */
export interface RleInput {
  readonly size: readonly [height: number, width: number];
  readonly counts: string | Uint8Array | readonly number[] | Uint32Array;
}

/** Encodes a mask as COCO RLE with compressed counts. */
export function encodeRle(bits: MaskBits): Rle {
  return compressRuns(encodeRuns(bits));
}

/** The run lengths of a mask, over the whole image. Time and memory follow the region, not the image. */
export function encodeRuns(bits: MaskBits): RunLengths {
  const { imageWidth, imageHeight, region } = bits;
  const { first, rows } = verticalEdges(bits);
  const counts = new Uint32Array(rows.length + 1);
  let used = 0;
  let end = 0;
  for (let column = 0; column < region.width; column++) {
    const origin = (region.x + column) * imageHeight + region.y;
    for (let i = first[column]!; i < first[column + 1]!; i += 2) {
      const start = origin + rows[i]!;
      const length = rows[i + 1]! - rows[i]!;
      // A run that starts where the previous one ended went on from the bottom of a column to the top of the next.
      if (used > 0 && start === end) counts[used - 1]! += length;
      else {
        counts[used++] = start - end;
        counts[used++] = length;
      }
      end = start + length;
    }
  }
  const pixels = imageWidth * imageHeight;
  if (end < pixels) counts[used++] = pixels - end;
  return { size: [imageHeight, imageWidth], counts: counts.subarray(0, used) };
}

/**
 * The rows at which the mask changes, going down each column: `rows[first[c]..first[c + 1]]`, ascending, belong to
 * column c of the region. Neighbouring rows are compared 32 pixels at a time; a counting sort turns row order into
 * column order.
 */
function verticalEdges({ region, words }: MaskBits): { first: Uint32Array; rows: Uint32Array } {
  const stride = wordsPerRow(region.width);
  const changes = new Uint32Array(words.length + stride);
  changes.set(words);
  for (let i = 0; i < words.length; i++) changes[i + stride]! ^= words[i]!;

  const first = new Uint32Array(region.width + 1);
  for (let i = 0; i < changes.length; i++) {
    for (let word = changes[i]!; word !== 0; word &= word - 1) first[(i % stride) * 32 + lowestBit(word) + 1]!++;
  }
  for (let column = 0; column < region.width; column++) first[column + 1]! += first[column]!;

  const next = first.slice();
  const rows = new Uint32Array(first[region.width]!);
  for (let i = 0; i < changes.length; i++) {
    for (let word = changes[i]!; word !== 0; word &= word - 1)
      rows[next[(i % stride) * 32 + lowestBit(word)]!++] = Math.floor(i / stride);
  }
  return { first, rows };
}

/** Decodes any form of RLE into bits cropped to the bounding box of the mask. Throws ERR_ARGUMENT when malformed. */
export function decodeRle(input: RleInput): MaskBits {
  const runs = readRle(input);
  const [imageHeight, imageWidth] = runs.size;
  const region = runBounds(runs);
  const stride = wordsPerRow(region.width);
  const words = new Uint32Array(stride * region.height);
  const toggle = (x: number, y: number): void => {
    const column = x - region.x;
    const row = y - region.y;
    if (row < region.height) words[row * stride + (column >> 5)]! ^= 1 << (column & 31);
  };
  // Mark where each column changes, then sum (modulo 2) downwards: the work follows the runs, not the pixels.
  forEachRun(runs, (start, end) => {
    const last = Math.floor((end - 1) / imageHeight);
    for (let x = Math.floor(start / imageHeight); x <= last; x++) {
      toggle(x, Math.max(start - x * imageHeight, 0));
      toggle(x, Math.min(end - x * imageHeight, imageHeight));
    }
  });
  for (let i = stride; i < words.length; i++) words[i]! ^= words[i - stride]!;
  return { imageWidth, imageHeight, region, words };
}

/** Calls `visit` with the first and the past-the-last position (column-major) of each run of ones that is not empty. */
function forEachRun({ counts }: RunLengths, visit: (start: number, end: number) => void): void {
  let position = 0;
  for (let i = 0; i < counts.length; i++) {
    const end = position + counts[i]!;
    if (i % 2 === 1 && end > position) visit(position, end);
    position = end;
  }
}

/** The bounding box of a mask that has been read; 0x0 when it is empty. */
export function runBounds(runs: RunLengths): Region {
  const height = runs.size[0];
  let [left, right, top, bottom] = [Infinity, 0, height, 0];
  forEachRun(runs, (start, end) => {
    const first = Math.floor(start / height);
    const last = Math.floor((end - 1) / height);
    left = Math.min(left, first);
    right = last + 1;
    // A run over a column's end covers the last row of one column and the first row of the next.
    top = first === last ? Math.min(top, start - first * height) : 0;
    bottom = first === last ? Math.max(bottom, end - first * height) : height;
  });
  if (right === 0) return { x: 0, y: 0, width: 0, height: 0 };
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Reads any form of RLE and checks it. Throws ERR_ARGUMENT when malformed. */
export function readRle(input: RleInput): RunLengths {
  const { size, counts } = requireObject('RLE', input) as unknown as RleInput;
  const [height, width] = readSize(size);
  const numbers = typeof counts === 'string' || types.isUint8Array(counts) ? parseCounts(counts) : checkCounts(counts);
  let sum = 0;
  for (const count of numbers) sum += count;
  if (sum !== height * width)
    throw new InstasegError(
      'ERR_ARGUMENT',
      `RLE counts sum to ${sum}, expected ${height * width} for size [${height}, ${width}]`,
    );
  return { size: [height, width], counts: numbers };
}

function readSize(size: RleInput['size']): [height: number, width: number] {
  if (!Array.isArray(size) || size.length !== 2)
    throw new InstasegError('ERR_ARGUMENT', `expected RLE size as [height, width], received ${String(size)}`);
  const [height, width] = size as [number, number];
  checkImageSize(width, height);
  return [height, width];
}

function checkCounts(counts: readonly number[] | Uint32Array): Uint32Array {
  if (!Array.isArray(counts) && !types.isTypedArray(counts))
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected RLE counts as a string, its bytes or a list of integers, received ${typeof counts}`,
    );
  const list: ArrayLike<number> = counts;
  return Uint32Array.from(list, (count, i) => {
    if (Number.isInteger(count) && count >= 0 && count < 2 ** 32) return count;
    throw new InstasegError('ERR_ARGUMENT', `RLE count ${i} is ${count}, expected an integer from 0 to 2^32 - 1`);
  });
}

/** The RLE of `runs` with compressed counts. */
export function compressRuns({ size, counts }: RunLengths): Rle {
  return { size: [size[0], size[1]], counts: compressCounts(counts) };
}

/**
 * Writes counts as text: from the fourth on, each as the difference to the one two before it (runs of neighbouring
 * columns are alike); then as groups of 5 bits, lowest first, in two's complement, a sixth bit saying that more
 * follows; each group as the character of code 48 + group.
 */
export function compressCounts(counts: ArrayLike<number>): string {
  const maxGroups = 7; // a 33-bit difference and its sign
  const text = Buffer.allocUnsafe(counts.length * maxGroups);
  let used = 0;
  for (let i = 0; i < counts.length; i++) {
    let rest = counts[i]! - (i > 2 ? counts[i - 2]! : 0);
    for (let more = true; more;) {
      const group = rest & 31;
      rest = Math.floor(rest / 32); // an arithmetic shift, beyond 32 bits too
      more = rest !== ((group & 16) === 0 ? 0 : -1);
      text[used++] = 48 + group + (more ? 32 : 0);
    }
  }
  return text.toString('latin1', 0, used);
}

/** Reads compressed counts, as a string or its ASCII bytes. Throws ERR_ARGUMENT when malformed. */
export function parseCounts(text: string | Uint8Array): Uint32Array {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
  const counts = new Uint32Array(bytes.length);
  let used = 0;
  let value = 0;
  let scale = 1;
  for (let i = 0; i < bytes.length; i++) {
    const group = bytes[i]! - 48;
    if (group < 0 || group > 63 || scale > 32 ** 6) throw malformed(`unexpected byte ${bytes[i]} at position ${i}`);
    value += (group & 31) * scale;
    scale *= 32;
    if (group & 32) continue;
    if (group & 16) value -= scale;
    if (used > 2) value += counts[used - 2]!;
    if (value < 0 || value >= 2 ** 32) throw malformed(`count ${used} would be ${value}`);
    counts[used++] = value;
    value = 0;
    scale = 1;
  }
  if (scale !== 1) throw malformed('it ends inside a number');
  return counts.slice(0, used);
}

function malformed(why: string): InstasegError {
  return new InstasegError('ERR_ARGUMENT', `malformed compressed RLE counts: ${why}`);
}

/**
 * The number of pixels in a mask.
 * @throws InstasegError ERR_ARGUMENT when it is malformed
 */
export function rleArea(input: RleInput): number {
  return runArea(readRle(input));
}

/** The number of pixels in a mask that has been read. */
export function runArea({ counts }: RunLengths): number {
  let area = 0;
  for (let i = 1; i < counts.length; i += 2) area += counts[i]!;
  return area;
}

/**
 * The bounding box [x, y, width, height] of a mask in pixels; [0, 0, 0, 0] when it is empty.
 * @throws InstasegError ERR_ARGUMENT when it is malformed
 */
export function rleToBbox(input: RleInput): [x: number, y: number, width: number, height: number] {
  const { x, y, width, height } = runBounds(readRle(input));
  return [x, y, width, height];
}

const MERGE_OPTIONS = { intersect: optional(flag) };

/**
 * The union of masks of one size or, with `intersect`, their intersection.
 * @throws InstasegError ERR_ARGUMENT for no masks, masks of different sizes and what is malformed
 */
export function mergeRle(masks: readonly RleInput[], options: { intersect?: boolean } = {}): Rle {
  const { intersect = false } = readOptions('mergeRle', options, MERGE_OPTIONS);
  const [first, ...others] = requireList('masks', masks).map(readRle);
  if (first === undefined)
    throw new InstasegError('ERR_ARGUMENT', 'expected at least one mask to merge, received none');
  return compressRuns(others.reduce((merged, mask) => mergeRuns(merged, mask, intersect), first));
}

function mergeRuns(a: RunLengths, b: RunLengths, intersect: boolean): RunLengths {
  const counts = new Uint32Array(a.counts.length + b.counts.length + 1);
  let used = 0;
  let inside = false;
  let start = 0;
  const pixels = walkRuns(a, b, (inA, inB, position) => {
    const now = intersect ? inA && inB : inA || inB;
    if (now === inside) return;
    counts[used++] = position - start;
    start = position;
    inside = now;
  });
  counts[used++] = pixels - start;
  return { size: a.size, counts: counts.slice(0, used) };
}

/**
 * Walks two masks of one size together, calling `visit` for each stretch on which neither changes. Returns the number
 * of pixels. Throws ERR_ARGUMENT when the sizes differ.
 */
export function walkRuns(
  a: RunLengths,
  b: RunLengths,
  visit: (inA: boolean, inB: boolean, start: number, end: number) => void,
): number {
  const [height, width] = a.size;
  if (b.size[0] !== height || b.size[1] !== width)
    throw new InstasegError('ERR_ARGUMENT', `masks differ in size: [${a.size.join(', ')}] and [${b.size.join(', ')}]`);
  const pixels = height * width;
  let [i, j, endA, endB] = [0, 0, a.counts[0]!, b.counts[0]!];
  for (let position = 0; position < pixels;) {
    while (endA === position) endA += a.counts[++i]!;
    while (endB === position) endB += b.counts[++j]!;
    const end = Math.min(endA, endB);
    visit(i % 2 === 1, j % 2 === 1, position, end);
    position = end;
  }
  return pixels;
}

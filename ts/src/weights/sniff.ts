import type { CheckpointFormat, PickleFormat } from './checkpoint.js';

/** The format of a file that can be read, or what is wrong with one that cannot. */
export type FirstBytes =
  { readonly format: CheckpointFormat } | { readonly format?: undefined; readonly problem: string };

/** The number 0x1950a86a20f9469cfc6c as a pickle, with which every legacy torch.save starts; protocol 4 has frames. */
// eslint-disable-next-line no-control-regex -- bytes as latin-1
const LEGACY_MAGIC = /^\x80[\x02-\x05](\x95\r\0{7})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\./;

/** Files that people hand over by mistake: [offset, bytes in latin1, what the file is]. */
const FOREIGN: readonly (readonly [number, string, string])[] = [
  [0, '\x1f\x8b', 'is a gzip archive, not a checkpoint: unpack it first'],
  [0, '\xfd7zXZ\0', 'is an xz archive, not a checkpoint: unpack it first'],
  [257, 'ustar', 'is a tar archive, not a checkpoint: unpack it first'],
  [0, '\x89HDF\r\n', 'is an HDF5 file (Keras weights), which instaseg does not read'],
  [0, '\x93NUMPY', 'is a NumPy array file, not a checkpoint'],
  [0, 'PK\x05\x06', 'is an empty zip archive, not a checkpoint'],
];

const startsWith = (head: Buffer, at: number, bytes: string): boolean =>
  head.toString('latin1', at, at + bytes.length) === bytes;

/**
 * Says from the first bytes of a file (512 suffice, all of a shorter file) which checkpoint format it has, and what it
 * is where it has none. A good answer here does not mean that the file is whole.
 */
export function describeFirstBytes(head: Buffer): FirstBytes {
  if (head.length === 0) return { problem: 'is empty (0 bytes): the download or copy failed' };
  // First, because the low bytes of the header's length may look like the start of anything.
  if (isSafetensors(head)) return { format: 'safetensors' };
  const text = head
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .toLowerCase();
  if (text.startsWith('version https://git-lfs')) return { problem: describeLfsPointer(text) };
  if (text.startsWith('<')) {
    return { problem: 'is an HTML or XML page, not a checkpoint: the download was answered with a web page' };
  }
  if (startsWith(head, 0, 'PK\x03\x04')) return { format: 'torch-zip' };
  const foreign = FOREIGN.find(([at, bytes]) => startsWith(head, at, bytes));
  if (foreign) return { problem: foreign[2] };
  if (LEGACY_MAGIC.test(head.toString('latin1', 0, 32))) return { format: 'torch-legacy' };
  if (head[0] === 0x80 && head.length > 1) return describePickle(head);
  if (isText(head)) return { problem: `is a text file, not a checkpoint (it starts with ${excerpt(text)})` };
  if (head.length < 8) return { problem: `has only ${head.length} bytes: the file is truncated` };
  return { problem: `is not a checkpoint of a known format (first bytes ${head.toString('hex', 0, 8)})` };
}

/** A u64 length below 2^48, then the "{" of the header; no other format has zeros there. */
const isSafetensors = (head: Buffer): boolean => head[6] === 0 && head[7] === 0 && head[8] === 0x7b;

function describeLfsPointer(text: string): string {
  const size = /\nsize (\d+)/.exec(text)?.[1];
  const real = size === undefined ? '' : ` of a file of ${size} bytes`;
  return `is a Git LFS pointer${real}, not the checkpoint itself: fetch it with "git lfs pull"`;
}

function describePickle(head: Buffer): FirstBytes {
  const format = `pickle-${head[1]}`;
  if (/^pickle-[2-5]$/.test(format)) return { format: format as PickleFormat };
  return {
    problem: `is not a checkpoint of a known format (a Python pickle would have protocol 2 to 5, not ${head[1]})`,
  };
}

const isText = (head: Buffer): boolean =>
  head.subarray(0, 16).every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d));

const excerpt = (text: string): string => JSON.stringify(text.slice(0, 24));

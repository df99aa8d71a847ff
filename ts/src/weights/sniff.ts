import type { CheckpointFormat } from './checkpoint.js';

/** The format of a file that can be read, or what is wrong with one that cannot. */
export type FirstBytes =
  { readonly format: CheckpointFormat } | { readonly format?: undefined; readonly problem: string };

/** PROTO 2 and the LONG1 0x1950a86a20f9469cfc6c, with which every legacy torch.save starts. */
const LEGACY_MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');

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
  if (head[0] === 0x80) return { problem: describePickle(head) };
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

function describePickle(head: Buffer): string {
  if (head.subarray(0, LEGACY_MAGIC.length).equals(LEGACY_MAGIC)) {
    return (
      'is a PyTorch checkpoint in the legacy format (PyTorch 1.5 and older), which is not supported yet: re-save it ' +
      'with torch.save(torch.load(path, map_location="cpu"), new_path) on PyTorch 1.6 or newer'
    );
  }
  return (
    'is a bare Python pickle (such as a detectron2 .pkl), which is not supported yet: re-save its tensors with ' +
    'torch.save(state_dict, new_path) or safetensors.torch.save_file(state_dict, new_path)'
  );
}

const isText = (head: Buffer): boolean =>
  head.subarray(0, 16).every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d));

const excerpt = (text: string): string => JSON.stringify(text.slice(0, 24));

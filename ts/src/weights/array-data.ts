import type { NamedTensor } from './named-tensors.js';
import type { ArrayContent, LongRef } from './pickle-values.js';
import { byteLength, checkpointError } from './tensor-info.js';

/** Bytes of the source of a pickle, in chunks that nobody else uses. */
export type ReadPickle = (start: number, end: number) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

const PIECE_BYTES = 1024 * 1024;

/** All data of an array, as they are stored. */
export async function* readArrayData(
  path: string,
  data: ArrayContent['data'],
  read: ReadPickle,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (data instanceof Uint8Array) yield data.slice();
  else if (data.form === 'encoded') yield* decodeLatin1(path, readPieces(data, read));
  else yield* read(data.start, data.start + data.length);
}

/** In pieces so small that decoding one does not hold up the event loop. */
async function* readPieces({ start, length }: LongRef, read: ReadPickle): AsyncGenerator<Uint8Array, void, undefined> {
  const end = start + length;
  for (let at = start; at < end; at += PIECE_BYTES) yield* read(at, Math.min(at + PIECE_BYTES, end));
}

/** Checks data that are encoded as text, which do not show their length: they are read through. */
export async function verifyEncoded(path: string, tensors: Iterable<NamedTensor>, read: ReadPickle): Promise<void> {
  const lengths = new Map<number, number>(); // many arrays may share one text
  for (const tensor of tensors) {
    const data = 'data' in tensor.ref ? tensor.ref.data : undefined;
    if (data === undefined || data instanceof Uint8Array || data.form !== 'encoded') continue;
    let length = lengths.get(data.start) ?? 0;
    if (!lengths.has(data.start)) for await (const chunk of readArrayData(path, data, read)) length += chunk.length;
    lengths.set(data.start, length);
    const expected = byteLength(tensor);
    if (length === expected) continue;
    throw checkpointError(path, `the data of array "${tensor.name}" have ${length} bytes, expected ${expected}`);
  }
}

/**
 * The characters of UTF-8 text as bytes, in place: those up to 0x7f are themselves, those up to 0xff are a first byte
 * 0xc2 or 0xc3 and one of 0x80 to 0xbf. Without branches, which half of random data would mispredict.
 */
async function* decodeLatin1(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let first = 0; // 1 after the first byte of a pair
  let high = 0; // its two bits of the character
  let wrong = 0;
  for await (const chunk of chunks) {
    let length = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      const second = (byte >> 7) & ~(byte >> 6) & 1;
      wrong |= second ^ first;
      chunk[length] = (byte - (second << 7)) | high;
      first = (byte >> 7) & (byte >> 6);
      wrong |= -first & ((byte & 0xfe) ^ 0xc2);
      high = -first & ((byte & 3) << 6);
      length += 1 - first;
    }
    if (wrong !== 0) break;
    if (length > 0) yield chunk.subarray(0, length);
  }
  if (wrong !== 0 || first !== 0) throw checkpointError(path, 'the data of an array are not latin-1 text');
}

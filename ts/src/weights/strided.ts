import type { NamedTensor } from './named-tensors.js';
import { CHUNK_BYTES } from './source-file.js';
import { checkpointError, elementCount, ITEM_SIZE } from './tensor-info.js';

/** Largest span, in bytes, from which a tensor with gaps is gathered; it has to be held in memory. */
const MAX_GATHER_BYTES = 2 ** 31;

/**
 * The contiguous bytes of a tensor whose elements lie `strides` apart, from element `offset` of what `read` gives bytes
 * of. Memory stays at one chunk, or the span of the tensor where that is stored with gaps or in another order.
 */
export async function* readStrided(
  path: string,
  { name, dtype, shape, strides }: Pick<NamedTensor, 'name' | 'dtype' | 'shape' | 'strides'>,
  offset: number,
  read: (start: number, end: number) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const itemSize = ITEM_SIZE[dtype];
  const count = elementCount(shape);
  if (count === 0) return;
  const start = offset * itemSize;
  if (isContiguous(shape, strides)) {
    yield* read(start, start + count * itemSize);
    return;
  }
  const span = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? 0), 1) * itemSize;
  if (span > MAX_GATHER_BYTES) {
    throw checkpointError(path, `tensor "${name}" is spread over ${span} bytes: save it with .contiguous()`);
  }
  const source = new Uint8Array(span);
  let at = 0;
  for await (const chunk of read(start, start + span)) {
    source.set(chunk, at);
    at += chunk.length;
  }
  yield* gather(source, itemSize, shape, strides);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    if (size !== 1 && strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

const WORDS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

/** Elements of `source` at multiples of `strides`, in row-major order, in chunks. There is at least one dimension. */
function* gather(
  source: Uint8Array,
  itemSize: number,
  shape: readonly number[],
  strides: readonly number[],
): Generator<Uint8Array, void, undefined> {
  const Words = WORDS[itemSize as keyof typeof WORDS];
  // One element type stands for all: only whole words are copied.
  const from = new Words(source.buffer as ArrayBuffer) as Uint32Array;
  const count = elementCount(shape);
  const position = shape.map(() => 0);
  let index = 0;
  for (let done = 0; done < count;) {
    const to = new Words(Math.min(count - done, CHUNK_BYTES / itemSize)) as Uint32Array;
    for (let i = 0; i < to.length; i++) {
      to[i] = from[index] as number;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const stride = strides[axis] as number;
        const next = (position[axis] = (position[axis] as number) + 1);
        if (next < (shape[axis] as number)) {
          index += stride;
          break;
        }
        position[axis] = 0;
        index -= (next - 1) * stride;
      }
    }
    done += to.length;
    yield new Uint8Array(to.buffer as ArrayBuffer);
  }
}

/** Checks that the tests of element-wise, pooling and resampling ops share. */
import type { ExecutionContext } from 'ava';
import {
  Device,
  InstasegError,
  listDevices,
  listKernels,
  type ErrorCode,
  type SymbolicTensor,
} from '../../src/index.js';

/** The call is refused with this code, and the message says what was wrong. */
export async function refused(
  t: ExecutionContext,
  body: () => unknown,
  code: ErrorCode,
  message: RegExp,
): Promise<void> {
  const device = await Device.open('cpu', { threads: 1 });
  try {
    const error = await t.throwsAsync(async () => device.run(body as () => SymbolicTensor));
    t.true(error instanceof InstasegError, String(error));
    t.is((error as InstasegError | undefined)?.code, code, error?.message);
    t.regex(error?.message ?? '', message);
  } finally {
    await device.dispose();
  }
}

/**
 * Every variant gives the same bits with any number of threads, and the fast variants (all but "reference") give the
 * same bits as each other.
 */
export async function sameBits(t: ExecutionContext, op: string, body: () => SymbolicTensor): Promise<void> {
  const levels = ['baseline', 'avx2', 'avx512'];
  const highest = levels.indexOf(listDevices()[0]?.isa ?? 'baseline');
  const rows = listKernels().filter((row) => row.op === op && row.device === 'cpu');
  const variants = new Set(rows.filter((row) => levels.indexOf(row.isa) <= highest).map((row) => row.variant));
  let fast: string | undefined;
  for (const variant of variants) {
    let first: string | undefined;
    for (const threads of [1, 2, 3]) {
      const device = await Device.open('cpu', { threads, variant });
      const { data } = await device.run(body);
      const bits = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
      first ??= bits;
      t.true(bits === first, `${op} [${variant}] differs with ${threads} threads`);
      await device.dispose();
    }
    if (variant === 'reference') continue;
    fast ??= first;
    t.true(first === fast, `${op} [${variant}] differs from the other fast variant`);
  }
}

/** The positions of a tensor in row-major order, as index lists. */
export function* positions(shape: readonly number[]): Generator<number[]> {
  const total = shape.reduce((product, dim) => product * dim, 1);
  for (let i = 0; i < total; i += 1) {
    const index: number[] = [];
    let rest = i;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      index.unshift(rest % shape[axis]!);
      rest = Math.floor(rest / shape[axis]!);
    }
    yield index;
  }
}

/** Row-major position of an index list. */
export function offsetOf(shape: readonly number[], index: readonly number[]): number {
  return index.reduce((offset, at, axis) => offset * shape[axis]! + at, 0);
}

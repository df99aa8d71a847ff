/** What the tests of single ops share: devices for every variant, random tensors, comparisons. */
import type { ExecutionContext, TestFn } from 'ava';
import { Device, listDevices, listKernels, Tensor, type DeviceName } from '../../src/index.js';
import type { KernelRow } from '../../src/runtime/addon.js';

/** Where the tests of ops run: `cpu`, `cuda-emulated` or `cuda:N`, from INSTASEG_TEST_DEVICE. */
export const TEST_DEVICE = (process.env['INSTASEG_TEST_DEVICE'] ?? 'cpu') as DeviceName;

/** A device that prefers each variant of `op` in turn: one ava test a variant that this machine runs. */
export function forEachVariant(
  test: TestFn,
  op: string,
  title: string,
  body: (t: ExecutionContext, device: Device, variant: string) => Promise<void>,
): void {
  const kind = TEST_DEVICE === 'cpu' ? 'cpu' : 'cuda';
  const rows = listKernels().filter((row) => row.op === op && row.device === kind);
  if (rows.length === 0) throw new Error(`no kernel of ${op} is registered for ${TEST_DEVICE}`);
  for (const variant of new Set(rows.map((row) => row.variant))) {
    const missing = missingFeature(rows.find((row) => row.variant === variant)!);
    const run = async (t: ExecutionContext): Promise<void> => {
      const device = await Device.open(TEST_DEVICE, { threads: 2, variant });
      try {
        await body(t, device, variant);
      } finally {
        await device.dispose();
      }
    };
    if (missing) test.skip(`${op} [${variant}] ${title} (${missing})`, run);
    else test(`${op} [${variant}] ${title}`, run);
  }
}

/** What a row needs and the device under test lacks. */
function missingFeature({ device, isa, computeCapability }: KernelRow): string | undefined {
  if (device === 'cpu') {
    const levels = ['baseline', 'avx2', 'avx512'];
    const available = levels.indexOf(listDevices()[0]?.isa ?? 'baseline');
    return levels.indexOf(isa) > available ? `the processor has no ${isa}` : undefined;
  }
  const gpu = listDevices().find(({ name }) => name === TEST_DEVICE);
  const available = Number(gpu?.computeCapability ?? 0) * 10;
  return computeCapability > available ? `compute capability ${computeCapability / 10} is needed` : undefined;
}

/** xorshift32: small, seeded, the same everywhere. */
export function randomSource(seed: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Uniform in [-scale, scale). */
export function randomTensor(
  seed: number,
  shape: readonly number[],
  options: { scale?: number } = {},
): Tensor<Float32Array> {
  const next = randomSource(seed);
  const scale = options.scale ?? 1;
  return Tensor.from(
    Float32Array.from({ length: count(shape) }, () => (next() * 2 - 1) * scale),
    shape,
  );
}

/** Integers in [low, high] as f32: sums of products of small ones are exact, so results can be compared for equality. */
export function integerTensor(seed: number, shape: readonly number[], low: number, high: number): Tensor<Float32Array> {
  const next = randomSource(seed);
  return Tensor.from(
    Float32Array.from({ length: count(shape) }, () => low + Math.floor(next() * (high - low + 1))),
    shape,
  );
}

export interface Tolerance {
  readonly rtol?: number;
  readonly atol?: number;
}

/**
 * Tolerance of a sum of products in f32: `f32` itself, but for the variant `tf32`, which rounds both factors to 11 bits.
 * That changes a product by at most 2^-10 of it, and a sum by 2^-10 of the sum of magnitudes.
 * @param magnitudes the most that the products' magnitudes can add up to
 */
export function sumTolerance(variant: string, f32: Tolerance, magnitudes: number): Tolerance {
  return variant === 'tf32' ? { atol: magnitudes * 2 ** -10 } : f32;
}

/** |actual - expected| <= atol + rtol * |expected| everywhere; NaN matches NaN, infinities match themselves. */
export function assertClose(
  t: ExecutionContext,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol = 0, atol = 0 }: Tolerance = {},
  label = 'values',
): void {
  t.is(actual.length, expected.length, `${label}: length`);
  let worst = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i += 1) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (Object.is(a, e) || a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const excess = Math.abs(a - e) / (atol + rtol * Math.abs(e));
    if (!(excess <= worst)) {
      worst = excess;
      at = i;
    }
  }
  t.true(
    worst <= 1,
    `${label}: element ${at} is ${actual[at]}, expected ${expected[at]} (${worst} times the tolerance)`,
  );
}

/** NHWC to NCHW. */
export function toNchw(tensor: Tensor): Tensor {
  const [n, h, w, c] = tensor.shape as [number, number, number, number];
  const out = new Float32Array(tensor.length);
  for (let i = 0; i < n; i += 1) {
    for (let p = 0; p < h * w; p += 1) {
      for (let k = 0; k < c; k += 1) out[(i * c + k) * h * w + p] = tensor.data[(i * h * w + p) * c + k]!;
    }
  }
  return Tensor.from(out, [n, c, h, w]);
}

/** NCHW to NHWC. */
export function fromNchw(tensor: Tensor): Tensor {
  const [n, c, h, w] = tensor.shape as [number, number, number, number];
  const out = new Float32Array(tensor.length);
  for (let i = 0; i < n; i += 1) {
    for (let k = 0; k < c; k += 1) {
      for (let p = 0; p < h * w; p += 1) out[(i * h * w + p) * c + k] = tensor.data[(i * c + k) * h * w + p]!;
    }
  }
  return Tensor.from(out, [n, h, w, c]);
}

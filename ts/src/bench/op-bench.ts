/** Single ops at the shapes of networks: checked, then timed hot and cold. */
import * as ops from '../ops/index.js';
import { benchmarkCopy } from '../ops/benchmark-copy.js';
import { InstasegError } from '../runtime/errors.js';
import { Device, listKernels } from '../runtime/device.js';
import type { Constant, SymbolicTensor, TensorLike } from '../runtime/graph.js';
import type { PlanStep } from '../runtime/addon.js';
import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../runtime/tensor.js';
import { ALLOWED, isRight, pickChannels, relativeError, type Check, type OpPrecision } from './check.js';
import { opCase, type OpCase } from './op-cases.js';
import type { OpMeasurement } from './report.js';
import { sample, type SamplingOptions, type Statistics } from './samples.js';
import { shapeText, type ShapeCase } from './shape-file.js';

/** The variant that results are compared with, where it is not itself what is measured. */
const REFERENCE = 'reference';

export interface OpBenchOptions extends SamplingOptions {
  readonly precision: OpPrecision;
  readonly signal?: AbortSignal | undefined;
  /** Kernels of this name go before others, as in DeviceOptions. */
  readonly variant?: string | undefined;
}

/** Measures cases on one device; `dispose` frees what they share. */
export class OpBench {
  readonly #device: Device;
  readonly #reference: Device;
  readonly #options: OpBenchOptions;
  /** What is copied to push everything else out of the caches. */
  readonly #flush: Constant;

  private constructor(device: Device, reference: Device, flushBytes: number, options: OpBenchOptions) {
    this.#device = device;
    this.#reference = reference;
    this.#options = options;
    this.#flush = device.constant('f32', [flushBytes / 4]);
  }

  /**
   * @param flushBytes what is copied before each cold call
   * @throws InstasegError ERR_ARGUMENT for a variant that no kernel of the device has, ERR_UNSUPPORTED for a precision that
   *   it does not have
   */
  static async open(device: Device, flushBytes: number, options: OpBenchOptions): Promise<OpBench> {
    requireVariant(device, options.variant);
    if (options.precision !== 'f32' && device.name === 'cpu') {
      throw new InstasegError('ERR_UNSUPPORTED', `precision ${options.precision} needs a CUDA device`);
    }
    const isReference = device.name === 'cpu' && options.variant === REFERENCE;
    const reference = await Device.open('cpu', isReference ? {} : { variant: REFERENCE });
    return new OpBench(device, reference, flushBytes, options);
  }

  async dispose(): Promise<void> {
    this.#flush.dispose();
    await this.#reference.dispose();
  }

  /**
   * Checks one case, then times it.
   * @throws InstasegError ERR_WRONG_RESULT: nothing that is wrong gets a speed
   */
  async measure(shape: ShapeCase): Promise<OpMeasurement> {
    try {
      return await this.measureCase(opCase(shape));
    } catch (error) {
      // What an op says of its arguments does not name the line that they come from.
      if (!(error instanceof InstasegError) || error.message.includes(shape.where)) throw error;
      throw new InstasegError(error.code, `${shape.where}: ${error.message}`, { cause: error });
    }
  }

  /** The same for a case of one's own. */
  async measureCase(found: OpCase): Promise<OpMeasurement> {
    const { shape } = found;
    const { precision, signal } = this.#options;
    const check = await this.#check(found);
    if (check && !isRight(check)) {
      throw new InstasegError(
        'ERR_WRONG_RESULT',
        `${shape.op} ${shape.name} (${shape.where}): the result differs from the ${check.against} by ` +
          `${check.error.toExponential(1)}, ${check.allowed.toExponential(1)} is allowed; it is not timed`,
      );
    }
    const hot = await this.#time(found, false);
    signal?.throwIfAborted();
    const cold = await this.#time(found, true);
    const { counted, flops, bytes, variant } = hot.step;
    const rate = (amount: number): number | null => (counted ? null : amount / hot.statistics.median / 1e6);
    return {
      model: shape.model,
      op: shape.op,
      name: shape.name,
      times: shape.times,
      shape: shapeText(shape),
      precision,
      variant,
      check,
      counted,
      flops,
      bytes,
      hot: hot.statistics,
      cold: cold.statistics,
      gflops: rate(flops),
      gbps: rate(bytes),
    };
  }

  /** Null where the kernel that is measured is the one that it would be compared with. */
  async #check({ shape, inputs, features, record, part }: OpCase): Promise<Check | null> {
    const specs = inputs.map(({ dtype, shape: sizes }) => ({ dtype, shape: sizes }));
    const measured = await this.#device.compile(
      specs,
      (...symbols) => inF32(record(this.#cast(symbols, features))),
      this.#compileOptions,
    );
    const variantOf = (plan: Plan<unknown>): string | undefined =>
      plan.steps.find(({ op }) => op === shape.op)?.variant;
    const own = variantOf(measured);
    const run = { signal: this.#options.signal };
    const actual = await using(measured, () => measured.run(inputs, run));
    const chosen = part ?? { inputs, record };
    const reference = await this.#reference.compile(
      chosen.inputs.map(({ dtype, shape: sizes }) => ({ dtype, shape: sizes })),
      (...symbols) => chosen.record(symbols),
    );
    const other = variantOf(reference);
    if (this.#device.name === 'cpu' && own === other) {
      reference.dispose();
      return null;
    }
    const expected = await using(reference, () => reference.run(chosen.inputs, run));
    const compared = part ? pickChannels(actual, part.of, part.channels) : actual.data;
    return {
      against: other === REFERENCE ? 'scalar reference on the CPU' : `kernel ${other} of the CPU`,
      extent: part ? `${part.channels.length} of ${part.of} output channels` : 'all',
      error: relativeError(compared, expected.data),
      allowed: expected.dtype === 'f32' ? ALLOWED[this.#options.precision] : 0,
    };
  }

  /** The features among the inputs in the precision that is measured. */
  #cast(inputs: readonly TensorLike[], features: readonly number[]): readonly TensorLike[] {
    const { precision } = this.#options;
    if (precision === 'f32' || precision === 'tf32') return inputs;
    return inputs.map((input, i) => (features.includes(i) ? ops.cast(input, precision) : input));
  }

  get #compileOptions(): { variant?: string } {
    const variant = this.#options.variant ?? (this.#options.precision === 'tf32' ? 'tf32' : undefined);
    return variant === undefined ? {} : { variant };
  }

  /** Times of the op's own step. The inputs are constants of the plan, and little of the result comes back. */
  async #time(
    { shape, inputs, features, record }: OpCase,
    cold: boolean,
  ): Promise<{ statistics: Statistics; step: PlanStep }> {
    const constants = inputs.map((tensor) => toConstant(this.#device, tensor));
    const plan = await this.#device.compile(
      [],
      () => {
        const cast = this.#cast(constants, features);
        const flushed = cold ? corner(benchmarkCopy(this.#flush)) : undefined;
        const output = corner(inF32(record(cast)));
        return flushed ? { output, flushed } : { output };
      },
      this.#compileOptions,
    );
    const { signal } = this.#options;
    try {
      const statistics = await sample(
        async () => {
          let milliseconds = Number.NaN;
          await plan.run([], {
            signal,
            onProfile: ({ steps }) => {
              milliseconds = steps.find(({ op }) => op === shape.op)!.milliseconds;
            },
          });
          return milliseconds;
        },
        this.#options,
        signal,
      );
      return { statistics, step: plan.steps.find(({ op }) => op === shape.op)! };
    } finally {
      plan.dispose();
      constants.forEach((constant) => constant.dispose());
    }
  }
}

/** @throws InstasegError ERR_ARGUMENT */
function requireVariant(device: Device, variant: string | undefined): void {
  if (variant === undefined) return;
  const kind = device.name === 'cpu' ? 'cpu' : 'cuda';
  const known = new Set(listKernels().flatMap((kernel) => (kernel.device === kind ? [kernel.variant] : [])));
  if (known.has(variant)) return;
  throw new InstasegError(
    'ERR_ARGUMENT',
    `variant: expected that of a kernel of ${device.name}, one of ${[...known].sort().join(', ')}; received "${variant}"`,
  );
}

async function using<R, T>(plan: Plan<R>, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } finally {
    plan.dispose();
  }
}

function toConstant(device: Device, tensor: Tensor): Constant {
  const constant = device.constant(tensor.dtype, tensor.shape);
  const { buffer, byteOffset, byteLength } = tensor.data;
  constant.write(0, tensor.dtype, new Uint8Array(buffer, byteOffset, byteLength));
  return constant;
}

function inF32(output: SymbolicTensor): SymbolicTensor {
  return output.dtype === 'f16' || output.dtype === 'bf16' ? ops.cast(output, 'f32') : output;
}

/** One element of a result, so that the rest is not copied to JavaScript; a result of a size not known before is whole. */
function corner(output: SymbolicTensor): SymbolicTensor {
  if (output.shape.includes(-1) || output.dtype !== 'f32') return output;
  return ops.slice(output, { begin: output.shape.map(() => 0), size: output.shape.map(() => 1) });
}

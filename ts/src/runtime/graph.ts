/**
 * Recording: ops called on symbolic tensors append to the graph of the recording that is under way. The native side
 * checks every call and infers its shapes at once, so there is one set of shape rules.
 */
import { types } from 'node:util';
import {
  addon,
  callNative,
  type Attributes,
  type NativeConstant,
  type NativeDevice,
  type NativeGraph,
} from './addon.js';
import { InstasegError } from './errors.js';
import { requireShape, Tensor, type DType } from './tensor.js';
import { invalid, requireOneOf } from './validate.js';

/** What a plan's function gets and ops return: a tensor that has a shape now and values when the plan runs. */
export class SymbolicTensor {
  /** @internal */
  constructor(
    /** @internal */ readonly recording: Recording,
    /** @internal */ readonly id: number,
    readonly dtype: DType,
    /** -1 where a size is known only when the plan runs. */
    readonly shape: readonly number[],
    /** Where rows have a fixed capacity: how many are valid, and which dimension they are. */
    readonly rows?: { readonly counts: SymbolicTensor; readonly axis: 0 | 1 },
  ) {}
}

/**
 * Weights in the device's memory, filled in pieces and shared by all plans that use them.
 * @see Device.constant
 */
export class Constant {
  #native: NativeConstant;

  /** @internal */
  constructor(
    device: NativeDevice,
    readonly dtype: DType,
    readonly shape: readonly number[],
    /** Of the tensor in its checkpoint: profiles call a layer by its weights. */
    readonly name?: string,
  ) {
    this.#native = callNative(() => new (addon().Constant)(device, dtype, shape));
  }

  /** @internal */
  get native(): NativeConstant {
    return this.#native;
  }

  /**
   * Writes elements from `offset` on (counted in elements). `sourceDType` is that of the bytes (f32, f16, bf16, f64, i64,
   * ...), which are widened to f32 where this constant is f32.
   * @throws InstasegError ERR_ARGUMENT once a plan uses the values
   */
  write(offset: number, sourceDType: string, bytes: Uint8Array): void {
    callNative(() => this.#native.write(offset, sourceDType, bytes), this.write);
  }

  /** Frees the memory as soon as no plan uses it. */
  dispose(): void {
    this.#native.release();
  }
}

/** What ops accept: a symbolic tensor, or values, which become inputs (Tensor) or weights (Constant) of the plan. */
export type TensorLike = SymbolicTensor | Tensor | Constant;

/** One graph being recorded. */
export class Recording {
  readonly graph: NativeGraph;
  /** Values of the inputs that came as Tensor, by position among the inputs. */
  readonly boundInputs = new Map<number, Tensor>();
  /** Whether a Tensor that was not passed as an input is fixed now (compile) or an input (run). */
  tensorsAreConstants = false;
  /** What a recording was told that was begun inside of this one; in an async function that is a rejection. */
  nested: InstasegError | undefined;
  readonly #device: NativeDevice;
  readonly #lifted = new Map<object, SymbolicTensor>();
  #inputCount = 0;

  constructor(device: NativeDevice) {
    this.#device = device;
    this.graph = new (addon().Graph)();
  }

  get inputCount(): number {
    return this.#inputCount;
  }

  input(dtype: DType, shape: readonly number[]): SymbolicTensor {
    const id = callNative(() => this.graph.input(dtype, shape));
    this.#inputCount += 1;
    return new SymbolicTensor(this, id, dtype, shape);
  }

  /** The symbolic tensor for any op argument. */
  lift(value: TensorLike, asConstant: boolean): SymbolicTensor {
    if (value instanceof SymbolicTensor) {
      if (value.recording !== this) throw new InstasegError('ERR_ARGUMENT', 'a tensor of another recording was used');
      return value;
    }
    const known = this.#lifted.get(value);
    if (known) return known;
    const lifted = this.#liftNew(value, asConstant);
    this.#lifted.set(value, lifted);
    return lifted;
  }

  #liftNew(value: Tensor | Constant, asConstant: boolean): SymbolicTensor {
    if (value instanceof Constant) return this.#constant(value);
    if (!(value instanceof Tensor)) throw invalid('an op argument', 'a Tensor, a Constant or a symbolic tensor', value);
    if (asConstant || this.tensorsAreConstants) return this.#constant(toConstant(this.#device, value));
    this.boundInputs.set(this.#inputCount, value);
    return this.input(value.dtype, value.shape);
  }

  #constant(constant: Constant): SymbolicTensor {
    const id = callNative(() => this.graph.constant(constant.native));
    return new SymbolicTensor(this, id, constant.dtype, constant.shape);
  }
}

function toConstant(device: NativeDevice, tensor: Tensor): Constant {
  const constant = new Constant(device, tensor.dtype, tensor.shape);
  const { buffer, byteOffset, byteLength } = tensor.data;
  constant.write(0, tensor.dtype, new Uint8Array(buffer, byteOffset, byteLength));
  return constant;
}

// Recording is synchronous, so one variable says which recording ops belong to.
let current: Recording | undefined;

/**
 * Runs `body` with ops appending to `recording`.
 * @throws InstasegError ERR_ARGUMENT where a recording is under way, or where `body` returns a promise
 */
export function withRecording<T>(recording: Recording, body: () => T): T {
  if (current) {
    current.nested = new InstasegError('ERR_ARGUMENT', 'device.run and device.compile cannot be nested');
    throw current.nested;
  }
  current = recording;
  try {
    const result = body();
    if (types.isPromise(result)) {
      // Nobody else waits for it: unobserved, its rejection would end the process.
      result.catch(() => undefined);
      throw (
        recording.nested ?? new InstasegError('ERR_ARGUMENT', 'the function given to run or compile must not be async')
      );
    }
    return result;
  } finally {
    current = undefined;
  }
}

/** The recording under way. Throws ERR_ARGUMENT outside of device.run and device.compile. */
export function currentRecording(): Recording {
  if (!current) {
    throw new InstasegError(
      'ERR_ARGUMENT',
      'ops can only be called inside device.run(() => ...) or device.compile(...)',
    );
  }
  return current;
}

/** Inputs of ops that must be known when the plan is compiled, by op: a Tensor given there becomes a constant. */
const CONSTANT_INPUTS: Readonly<Record<string, readonly number[]>> = {
  conv2d: [1],
  convTranspose2d: [1],
  deformConv2d: [1],
  linear: [1],
  selectConv2d: [1],
  batchNorm: [1, 2, 3, 4],
};

/**
 * Appends one op to the recording under way. `undefined` inputs are optional ones left out.
 * @throws InstasegError ERR_SHAPE, ERR_DTYPE, ERR_ARGUMENT from the op's shape rule
 */
export function record(
  op: string,
  inputs: readonly (TensorLike | undefined)[],
  attributes: Attributes,
): SymbolicTensor[] {
  const recording = currentRecording();
  const ids = inputs.map((input, slot) =>
    input === undefined ? -1 : recording.lift(input, CONSTANT_INPUTS[op]?.includes(slot) ?? false).id,
  );
  const outputs = callNative(() => recording.graph.node(op, attributes, ids, layerOf(inputs)));
  return outputs.map(({ id, dtype, shape }) => new SymbolicTensor(recording, id, dtype, shape));
}

/** The layer that an op belongs to: its weights' name without the last part. */
function layerOf(inputs: readonly (TensorLike | undefined)[]): string | undefined {
  const named = inputs.find((input) => input instanceof Constant && input.name !== undefined) as Constant | undefined;
  return named?.name?.replace(/\.[^.]*$/, '');
}

/**
 * Says that only the first counts[g] rows of each group are valid. Rows are either the first dimension, split evenly over
 * the groups (`axis` 0), or the second of [groups, capacity, ...] (`axis` 1); the caller knows which, as the shape alone does
 * not tell a single row from a single group. A result with one group is read back without the rows past its count.
 */
export function withCount(tensor: SymbolicTensor, count: TensorLike | undefined, axis: 0 | 1): SymbolicTensor {
  if (count === undefined) return tensor;
  const counts = tensor.recording.lift(count, false);
  return new SymbolicTensor(tensor.recording, tensor.id, tensor.dtype, tensor.shape, { counts, axis });
}

/** The same elements under another shape (one dimension may be -1); no data moves. */
export function reshape(input: TensorLike, shape: readonly number[]): SymbolicTensor {
  const recording = currentRecording();
  const source = recording.lift(input, false);
  const [output] = record('reshape', [source], { shape: requireShape('shape', shape, { dynamic: true }) });
  return output!;
}

/** A tensor whose values come when the plan runs. */
export interface InputSpec {
  readonly dtype: DType;
  /** -1 for a size known only when the plan runs (images of `preprocess`). */
  readonly shape: readonly number[];
}

export function requireInputSpec(spec: InputSpec): InputSpec {
  return {
    dtype: requireOneOf('dtype', spec?.dtype, ['f32', 'f16', 'bf16', 'i32', 'u8']),
    shape: requireShape('shape', spec.shape, { dynamic: true }),
  };
}

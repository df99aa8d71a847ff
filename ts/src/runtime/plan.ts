/** Compiled plans and the structures that their results come in. */
import { types } from 'node:util';
import { onAbort } from './abort.js';
import { awaitNative, callNative, type NativePlan, type NativeTensor, type PlanStep } from './addon.js';
import { InstasegError } from './errors.js';
import { RUN_OPTIONS } from './device-options.js';
import { SymbolicTensor, type Constant } from './graph.js';
import { readOptions } from './options.js';
import { DTYPES, Tensor, type DType } from './tensor.js';
import { invalid, requireOneOf } from './validate.js';

/** What a plan's function returns: symbolic tensors in arrays and objects, nested as one likes. */
export type SymbolicResult = SymbolicTensor | readonly SymbolicResult[] | { readonly [key: string]: SymbolicResult };

/**
 * `T` where a plan can return it: what an op made, in arrays and objects. Anything else in it (a number, a promise, a
 * Tensor, which would be an input) becomes `never`, so that the compiler refuses it.
 */
export type Recorded<T> = T extends Tensor | Constant | Promise<unknown> | ((...args: never[]) => unknown)
  ? never
  : T extends SymbolicTensor
    ? T
    : T extends object
      ? { [K in keyof T]: Recorded<T[K]> }
      : never;

/** The same structure with values. */
export type ResultOf<T> = T extends SymbolicTensor
  ? Tensor
  : T extends readonly unknown[]
    ? { -readonly [K in keyof T]: ResultOf<T[K]> }
    : T extends object
      ? { -readonly [K in keyof T]: ResultOf<T[K]> }
      : never;

/** Options of {@link Plan.run} and {@link Device.run}. */
export interface RunOptions {
  /** Stops the run before its next op; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Measures every step; see {@link Plan.steps}. */
  profile?: boolean | undefined;
  /** Measures every step, and is called with the times of this run before its promise resolves. */
  onProfile?: ((profile: RunProfile) => void) | undefined;
}

/** One step of a plan, as `plan.steps` lists it. */
export interface StepInfo extends PlanStep {
  /** Milliseconds it took, in a run with `profile`. */
  readonly milliseconds?: number;
}

/** Where the time of one run went, in milliseconds. */
export interface RunProfile {
  /** The steps in the order in which they ran, each with its time: wall time on the CPU, device time on a GPU. */
  readonly steps: readonly (StepInfo & { readonly milliseconds: number })[];
  /** Copying the inputs into native memory, on the caller's thread. */
  readonly inputs: number;
  /** Behind other work of the device. */
  readonly queued: number;
  /** On the device's thread: the steps, and what is around them (memory; on a GPU also transfers). */
  readonly running: number;
  /** From the call to the result. */
  readonly total: number;
}

/** All symbolic tensors of a result, in a fixed order, each once. */
export function collectOutputs(result: SymbolicResult): SymbolicTensor[] {
  const found = new Set<SymbolicTensor>();
  const visit = (value: SymbolicResult): void => {
    if (value instanceof SymbolicTensor) {
      found.add(value);
      if (value.rows) found.add(value.rows.counts);
    } else if (typeof value === 'object' && value !== null && !types.isPromise(value)) {
      Object.values(value).forEach(visit);
    } else {
      // Nobody else waits for a promise that is in the result.
      if (types.isPromise(value)) (value as Promise<unknown>).catch(() => undefined);
      throw new InstasegError('ERR_ARGUMENT', 'a plan must return tensors that its ops made, in arrays or objects');
    }
  };
  visit(result);
  return [...found];
}

/** A result of one counted group without the rows past its count. */
function trimmed(tensor: Tensor, axis: 0 | 1, counts: Tensor): Tensor {
  if (counts.length !== 1) return tensor;
  const capacity = tensor.shape[axis] ?? 0;
  const rows = Math.min(Math.max(Number(counts.data[0]), 0), capacity);
  const shape = tensor.shape.map((dim, i) => (i === axis ? rows : dim));
  const length = capacity === 0 ? 0 : (tensor.length / capacity) * rows;
  return Tensor.from(tensor.data.slice(0, length), shape, tensor.dtype);
}

function assemble(template: SymbolicResult, values: ReadonlyMap<SymbolicTensor, Tensor>): unknown {
  if (template instanceof SymbolicTensor) {
    const value = values.get(template)!;
    const { rows } = template;
    return rows ? trimmed(value, rows.axis, values.get(rows.counts)!) : value;
  }
  if (Array.isArray(template)) return template.map((item: SymbolicResult) => assemble(item, values));
  return Object.fromEntries(
    Object.entries(template as Record<string, SymbolicResult>).map(([key, item]) => [key, assemble(item, values)]),
  );
}

/** The inputs of a run as tensors: native code takes their bytes for what their dtype says. */
function requireTensors(inputs: readonly NativeTensor[]): readonly Tensor[] {
  if (!Array.isArray(inputs)) throw invalid('inputs', 'an array of tensors', inputs);
  return (inputs as readonly NativeTensor[]).map((input, i) => {
    if (input instanceof Tensor) return input;
    if (typeof input !== 'object' || input === null || !('data' in input)) {
      throw invalid(`inputs[${i}]`, 'a Tensor or {dtype, shape, data}', input);
    }
    return Tensor.from(input.data, input.shape, requireOneOf(`inputs[${i}].dtype`, input.dtype, DTYPES));
  });
}

/** Awaits a native run; an abort rejects with the signal's reason. */
async function awaitRun<T>(
  handle: { promise: Promise<T>; cancel(): void },
  signal: AbortSignal | undefined,
  at: (...args: never[]) => unknown,
): Promise<T> {
  const forget = onAbort(signal, handle.cancel);
  try {
    return await awaitNative(handle.promise, at);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    forget();
  }
}

/**
 * A compiled forward pass: shapes checked, ops fused, weights packed, memory laid out. Running it is one call into
 * native code, on the device's own threads.
 */
export class Plan<R = SymbolicResult> {
  readonly #native: NativePlan;
  readonly #template: SymbolicResult;
  readonly #outputs: readonly SymbolicTensor[];
  readonly #onRun: (promise: Promise<unknown>) => void;
  #profile: readonly number[] | undefined;
  #steps: readonly PlanStep[] | undefined;
  #disposed = false;

  /** @internal */
  constructor(
    native: NativePlan,
    template: SymbolicResult,
    outputs: readonly SymbolicTensor[],
    /** Types and sizes of the inputs. */
    readonly inputs: readonly { dtype: DType; shape: readonly number[] }[],
    onRun: (promise: Promise<unknown>) => void,
  ) {
    this.#native = native;
    this.#template = template;
    this.#outputs = outputs;
    this.#onRun = onRun;
  }

  /**
   * Runs the plan. The inputs are copied before the call returns.
   * @param inputs tensors, or `{ dtype, shape, data }` as `Tensor.from` takes them
   * @throws InstasegError ERR_ARGUMENT, ERR_DTYPE, ERR_SHAPE, ERR_DISPOSED, ERR_OUT_OF_MEMORY, or what an op found wrong
   *   with the values
   */
  async run(inputs: readonly NativeTensor[] = [], options: RunOptions = {}): Promise<ResultOf<R>> {
    const { signal, profile: measured = false, onProfile } = readOptions('run', options, RUN_OPTIONS);
    signal?.throwIfAborted();
    const tensors = requireTensors(inputs);
    if (this.#disposed) throw new InstasegError('ERR_DISPOSED', 'the plan was disposed');
    const profiled = onProfile !== undefined || measured;
    // Asking takes half a millisecond for a network: once, so that profiles are of what runs without them.
    if (onProfile) this.#steps ??= this.#native.describe().steps;
    const steps = this.#steps ?? [];
    const started = performance.now();
    const handle = callNative(() => this.#native.run(tensors, profiled), this.run);
    const submitted = performance.now();
    const running = awaitRun(handle, signal, this.run);
    this.#onRun(running);
    const { outputs, profile } = await running;
    if (profile) this.#profile = profile.milliseconds;
    if (profile && onProfile) {
      const { milliseconds, queued, running: onDevice } = profile;
      onProfile({
        steps: steps.map((step, i) => ({ ...step, milliseconds: milliseconds[i]! })),
        inputs: submitted - started,
        queued,
        running: onDevice,
        total: performance.now() - started,
      });
    }
    const values = new Map(
      this.#outputs.map((symbol, i) => {
        const { data, shape, dtype } = outputs[i]!;
        return [symbol, Tensor.from(data, shape, dtype)];
      }),
    );
    return assemble(this.#template, values) as ResultOf<R>;
  }

  /** The steps after fusion, with the chosen kernel variant and the work of each; times of the last profiled run. */
  get steps(): readonly StepInfo[] {
    return this.#describe().steps.map((step, i) => {
      const milliseconds = this.#profile?.[i];
      return milliseconds === undefined ? step : { ...step, milliseconds };
    });
  }

  /** Bytes that one run holds for intermediates. */
  get arenaBytes(): number {
    return this.#describe().arenaBytes;
  }

  /** Bytes that the plan itself holds; weights, packed or not, are shared and do not count. */
  get bytes(): number {
    return this.#describe().planBytes;
  }

  #describe(): ReturnType<NativePlan['describe']> {
    if (this.#disposed) throw new InstasegError('ERR_DISPOSED', 'the plan was disposed');
    return this.#native.describe();
  }

  /** Frees the plan. Runs in flight finish. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#native.release();
  }
}

/** Devices: where plans run. */
import { addon, awaitNative, callNative, type KernelRow, type NativeDevice } from './addon.js';
import { InstasegError } from './errors.js';
import { Constant, Recording, requireInputSpec, withRecording, type InputSpec, type SymbolicTensor } from './graph.js';
import { COMPILE_OPTIONS, DEVICE_OPTIONS, RUN_OPTIONS } from './device-options.js';
import { readOptions } from './options.js';
import { isMusl } from './platform.js';
import { collectOutputs, Plan, type Recorded, type ResultOf, type RunOptions, type SymbolicResult } from './plan.js';
import { DTYPES, requireShape, type DType } from './tensor.js';
import { invalid, requireFunction, requireOneOf } from './validate.js';

/**
 * Names of devices. `cpu` is always there. `cuda` (the first GPU) and `cuda:N` are refused with ERR_DEVICE_UNAVAILABLE
 * where they cannot run; `auto` takes the first GPU that can run and otherwise the CPU, and says why in
 * `fallbackReason`. `cuda-emulated` and `cuda-emulated:N` exist in test builds only.
 */
export type DeviceName = 'auto' | 'cpu' | 'cuda' | `cuda:${number}` | EmulatedName;
type EmulatedName = 'cuda-emulated' | `cuda-emulated:${number}`;

/** Options of {@link Device.open}, and of `load` where it opens the device. */
export interface DeviceOptions {
  /** Threads of the CPU backend; default: physical cores that the process may use (affinity, cgroup quota). */
  threads?: number | undefined;
  /**
   * Highest instruction set to use; default: the highest of the processor, or what the environment variable
   * `INSTASEG_ISA` (baseline, avx2, avx512) names where that is less. Results are bit-identical within a level.
   */
  isa?: KernelRow['isa'] | undefined;
  /** Prefer kernels of this variant name where an op has one, for tests and measurements ("reference"). */
  variant?: string | undefined;
  /** Bytes above which allocations fail with ERR_OUT_OF_MEMORY. */
  memoryLimit?: number | undefined;
}

/** Options of {@link Device.compile}. */
export interface CompileOptions {
  /** Prefer kernels of this variant name in the plan, in the place of the device's own preference. */
  readonly variant?: string | undefined;
}

/** Memory of a device: host memory of the CPU, GPU memory of a GPU. In bytes. */
export interface MemoryStats {
  /** Bytes held by weights, tensors and runs in flight. */
  readonly inUse: number;
  /** Bytes kept for the next run; `trim()` returns them. */
  readonly cached: number;
  /** Highest sum of both so far. */
  readonly peak: number;
}

/** A device as {@link listDevices} describes it. */
export interface DeviceInfo {
  readonly name: 'cpu' | 'cuda' | `cuda:${number}` | EmulatedName;
  readonly description: string;
  readonly available: boolean;
  /** Why not, where it is not available. */
  readonly reason?: string;
  /** The highest instruction set that the processor has and `INSTASEG_ISA` allows. */
  readonly isa?: KernelRow['isa'];
  /** Threads used by default. */
  readonly threads?: number;
  /** As nvidia-smi prints it. */
  readonly uuid?: string;
  /** For example "9.0". */
  readonly computeCapability?: string;
  /** Bytes of the GPU's memory. */
  readonly memory?: number;
  /** Bytes of the GPU's L2 cache. */
  readonly l2Cache?: number;
}

const noCuda = (): string =>
  isMusl()
    ? "CUDA needs glibc, which NVIDIA's driver is made for; this system has musl"
    : 'this build of instaseg has no CUDA backend';

/**
 * Every device that could be meant, available or not. Opens none.
 * @throws InstasegError ERR_ADDON
 */
export function listDevices(): DeviceInfo[] {
  const { isa, threads } = callNative(() => addon().cpuInfo(), listDevices);
  const cpu: DeviceInfo = { name: 'cpu', description: `CPU (${process.arch})`, available: true, isa, threads };
  return [cpu, ...listGpus()];
}

function listGpus(): DeviceInfo[] {
  const accelerator = addon().accelerator();
  if (!accelerator) return [{ name: 'cuda', description: 'NVIDIA GPU', available: false, reason: noCuda() }];
  const { name, description, reason, devices } = accelerator;
  if (reason !== undefined || devices.length === 0) {
    return [{ name, description, available: false, reason: reason ?? 'there is no GPU' }];
  }
  return devices.map((gpu) => ({
    name: name === 'cuda' ? (`cuda:${gpu.index}` as const) : emulatedName(gpu.index),
    description: gpu.name,
    available: gpu.reason === undefined,
    ...(gpu.reason !== undefined && { reason: gpu.reason }),
    uuid: gpu.uuid,
    computeCapability: `${Math.floor(gpu.computeCapability / 10)}.${gpu.computeCapability % 10}`,
    memory: gpu.memory,
    l2Cache: gpu.l2Cache,
  }));
}

/**
 * The kernels that this build has, one row a variant.
 * @throws InstasegError ERR_ADDON
 */
export function listKernels(): KernelRow[] {
  return addon().kernels();
}

/**
 * A device with its own threads and memory. Plans and eager ops run on it one after the other, each with all of its
 * threads, never on the event loop or libuv's pool.
 */
export class Device {
  readonly #native: NativeDevice;
  readonly #pending = new Set<Promise<unknown>>();
  #disposing: Promise<void> | undefined;

  private constructor(
    native: NativeDevice,
    /** The device that really runs. */
    readonly name: DeviceInfo['name'],
    /** With `auto`: why it is not CUDA. */
    readonly fallbackReason: string | undefined,
  ) {
    this.#native = native;
  }

  /**
   * Opens a device.
   * @throws InstasegError ERR_ARGUMENT, ERR_DEVICE_UNAVAILABLE
   */
  static async open(name: DeviceName = 'auto', options: DeviceOptions = {}): Promise<Device> {
    if (typeof name !== 'string' || !/^(auto|cpu|cuda(-emulated)?(:\d+)?)$/.test(name)) {
      throw invalid('device', '"auto", "cpu", "cuda" or "cuda:N"', name);
    }
    const { threads, isa, variant, memoryLimit } = readOptions('Device.open', options, DEVICE_OPTIONS);
    const chosen = choose(name);
    const native = callNative(
      () =>
        new (addon().Device)({
          kind: chosen.index === undefined ? 'cpu' : 'cuda',
          ...(chosen.index !== undefined && { index: chosen.index }),
          ...(threads !== undefined && { threads }),
          ...(isa !== undefined && { isa }),
          ...(variant !== undefined && { variant }),
          ...(memoryLimit !== undefined && { memoryLimit }),
        }),
      Device.open,
    );
    if (chosen.index !== undefined) {
      try {
        await awaitNative(native.open(), Device.open);
      } catch (error) {
        native.stop();
        throw error;
      }
    }
    return new Device(native, chosen.name, chosen.fallbackReason);
  }

  /** Threads that work on one op, the device's own included. */
  get threads(): number {
    return callNative(() => this.#native.info()).threads;
  }

  /** The instruction set in use. */
  get isa(): string {
    return callNative(() => this.#native.info()).isa;
  }

  /**
   * Runs ops eagerly: records what `body` calls, compiles it as a plan and runs it. Tensors used inside become inputs.
   *
   *     const { indices } = await device.run(() => ops.nms(boxes, scores, { iouThreshold: 0.5 }));
   *
   * @throws InstasegError what the ops say about their arguments; ERR_UNSUPPORTED where no kernel of the device takes them,
   *   ERR_OUT_OF_MEMORY, ERR_DISPOSED; or the signal's reason
   */
  async run<R>(body: () => R & Recorded<R>, options: RunOptions = {}): Promise<ResultOf<R>> {
    readOptions('run', options, RUN_OPTIONS).signal?.throwIfAborted();
    requireFunction('body', body);
    const recording = this.#record();
    const result: R = withRecording(recording, body);
    const plan = await this.#compile(recording, result, [], this.run);
    try {
      return await plan.run([...recording.boundInputs.values()], options);
    } finally {
      plan.dispose();
    }
  }

  /**
   * Compiles a plan of one's own.
   *
   *     const plan = await device.compile([{ dtype: 'f32', shape: [1, 32, 32, 3] }], (image) => ops.relu(image));
   *     const output = await plan.run([image]);
   *
   * Tensors captured from outside become constants of the plan.
   * @throws InstasegError what the ops say about their arguments; ERR_UNSUPPORTED where no kernel of the device takes them,
   *   ERR_OUT_OF_MEMORY, ERR_DISPOSED
   */
  async compile<const S extends readonly InputSpec[], R>(
    inputs: S,
    body: (...inputs: { [K in keyof S]: SymbolicTensor }) => R & Recorded<R>,
    options: CompileOptions = {},
  ): Promise<Plan<R>> {
    if (!Array.isArray(inputs)) throw invalid('inputs', 'an array of {dtype, shape}', inputs);
    requireFunction('body', body);
    const { variant } = readOptions('compile', options, COMPILE_OPTIONS);
    const recording = this.#record();
    recording.tensorsAreConstants = true;
    const symbols = inputs.map((spec: InputSpec) => {
      const { dtype, shape } = requireInputSpec(spec);
      return recording.input(dtype, shape);
    });
    const result: R = withRecording(recording, () => body(...(symbols as { [K in keyof S]: SymbolicTensor })));
    return this.#compile(recording, result, inputs, this.compile, variant);
  }

  /**
   * Memory for weights on this device, zeroed; fill it with `write`.
   * @param shape in the layout that the op documents (PyTorch's, for convolutions: OIHW)
   * @param name of the tensor; profiles call the layer by it (`conv1` for `conv1.weight`)
   */
  constant(dtype: DType, shape: readonly number[], name?: string): Constant {
    this.#check();
    requireOneOf('dtype', dtype, DTYPES);
    return new Constant(this.#native, dtype, requireShape('shape', shape), name);
  }

  /** Bytes held on the device: weights, runs in flight, caches. */
  memoryStats(): MemoryStats {
    return callNative(() => this.#native.memory(), this.memoryStats);
  }

  /** Gives cached memory back to the system. */
  trim(): void {
    callNative(() => this.#native.trim(), this.trim);
  }

  /** Waits for work in flight, then frees threads and cached memory. Idempotent; use after it is ERR_DISPOSED. */
  dispose(): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  /** `dispose` at the end of a block: `await using device = await Device.open()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #dispose(): Promise<void> {
    await Promise.allSettled(this.#pending);
    this.#native.stop();
  }

  #check(): void {
    if (this.#disposing) throw new InstasegError('ERR_DISPOSED', 'the device was disposed');
  }

  #record(): Recording {
    this.#check();
    return new Recording(this.#native);
  }

  #track(promise: Promise<unknown>): void {
    this.#pending.add(promise);
    const forget = (): boolean => this.#pending.delete(promise);
    promise.then(forget, forget);
  }

  async #compile<R>(
    recording: Recording,
    result: R,
    inputs: readonly InputSpec[],
    at: (...args: never[]) => unknown,
    variant?: string,
  ): Promise<Plan<R>> {
    const template = result as SymbolicResult;
    const outputs = collectOutputs(template);
    const compiling = recording.graph.compile(
      this.#native,
      outputs.map((output) => recording.lift(output, false).id),
      variant,
    );
    this.#track(compiling);
    const native = await awaitNative(compiling, at);
    return new Plan<R>(native, template, outputs, inputs, (running) => this.#track(running));
  }
}

const emulatedName = (index: number): EmulatedName => (index === 0 ? 'cuda-emulated' : `cuda-emulated:${index}`);

interface Choice {
  readonly name: DeviceInfo['name'];
  /** Of a GPU; undefined: the CPU. */
  readonly index?: number;
  readonly fallbackReason?: string | undefined;
}

/** The device that a name means here. What cannot run is refused when it is opened, with the driver's words. */
function choose(name: DeviceName): Choice {
  if (name === 'cpu') return { name };
  const accelerator = addon().accelerator();
  if (name === 'auto') {
    const gpu =
      accelerator?.name === 'cuda' ? accelerator.devices.find(({ reason }) => reason === undefined) : undefined;
    if (gpu) return { name: `cuda:${gpu.index}`, index: gpu.index };
    return { name: 'cpu', fallbackReason: accelerator?.reason ?? accelerator?.devices[0]?.reason ?? noCuda() };
  }
  const emulated = name.startsWith('cuda-emulated');
  if (accelerator?.name !== (emulated ? 'cuda-emulated' : 'cuda')) {
    const reason = emulated ? 'it exists in test builds only' : noCuda();
    throw new InstasegError('ERR_DEVICE_UNAVAILABLE', `${name} is not available: ${reason}`);
  }
  const index = Number(/\d+$/.exec(name)?.[0] ?? 0);
  return { name: emulated ? emulatedName(index) : `cuda:${index}`, index };
}

/** What every instance segmentation model offers: images in, instances with masks out. */
import { decodeImage, type DecodedImage } from '../image/decode.js';
import type { ImageInput } from '../image/input.js';
import { Mask } from '../masks/mask.js';
import type { Parameters } from '../nn/parameters.js';
import { blame, callerOf, onBehalfOf, type Caller, doneFor } from '../runtime/caller.js';
import type { Device, MemoryStats } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import { Gate } from '../runtime/gate.js';
import { PlanCache } from '../runtime/plan-cache.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import type { Plan, ResultOf, RunProfile } from '../runtime/plan.js';
import { Tensor } from '../runtime/tensor.js';
import { invalid, requireInteger, requireSignal } from '../runtime/validate.js';
import type { ModelConfig } from '../weights/families/config.js';
import type { Job, Network, NetworkInputs, NetworkOutputs, Probe } from './network.js';
import {
  requireBatchOptions,
  requireIterable,
  requireSegmentOptions,
  requireStreamOptions,
  type Precision,
  type SegmentBatchOptions,
  type SegmenterOptions,
  type SegmentOptions,
  type StreamOptions,
} from './options.js';
import { SegmentationResult, type Instance, type SegmentProfile } from './result.js';
import { rowOf } from './row.js';

/** Where a model runs. */
export interface ModelDeviceInfo {
  readonly name: string;
  readonly threads: number;
  readonly isa: string;
  /** With device `auto`: why it is not CUDA. */
  readonly fallbackReason: string | undefined;
}

// One run on the device and one being prepared keep it busy; more would only hold memory.
const SLOTS = 2;

// Images of a list that are decoded at once, in groups of maxBatch: one group runs and one comes after it.
const WINDOW_GROUPS = 2;

type Limits = { readonly [K in keyof SegmenterOptions]-?: number };

/**
 * Checks how a model is to use its device, and fills in what is left out.
 * @throws InstasegError ERR_ARGUMENT
 */
export function requireLimits({ maxQueue = 256, maxBatch = 4, planCacheBytes = 64 << 20 }: SegmenterOptions): Limits {
  return {
    maxQueue: requireInteger('maxQueue', maxQueue, 0),
    maxBatch: requireInteger('maxBatch', maxBatch, 1, 64),
    planCacheBytes: requireInteger('planCacheBytes', planCacheBytes, 0),
  };
}

/** A loaded model. See {@link load}. */
export class InstanceSegmenter {
  readonly #network: Network<ModelConfig>;
  readonly #device: Device;
  readonly #ownsDevice: boolean;
  readonly #parameters: Parameters;
  readonly #plans: PlanCache<NetworkOutputs>;
  readonly #gate: Gate;
  readonly #maxBatch: number;
  readonly #precision: Precision;
  readonly #pending = new Set<Promise<unknown>>();
  #disposing: Promise<void> | undefined;

  /** @internal Use `load`. */
  constructor(
    device: Device,
    network: Network<ModelConfig>,
    parameters: Parameters,
    /** The family and everything that the forward pass depends on. */
    readonly config: ModelConfig,
    options: Limits & { ownsDevice: boolean; precision: Precision },
  ) {
    this.#precision = options.precision;
    this.#device = device;
    this.#ownsDevice = options.ownsDevice;
    this.#network = network;
    this.#parameters = parameters;
    this.#plans = new PlanCache(options.planCacheBytes);
    this.#gate = new Gate(SLOTS, options.maxQueue);
    this.#maxBatch = options.maxBatch;
  }

  get #features(): NetworkInputs['features'] {
    return this.#precision === 'tf32' ? 'f32' : this.#precision;
  }

  /** Kernels of this name go before others. */
  get #variant(): string | undefined {
    return this.#precision === 'tf32' ? 'tf32' : undefined;
  }

  /** The device that the model really runs on. */
  get device(): string {
    return this.#device.name;
  }

  /** The same with threads, instruction set and, for `auto`, why it is not CUDA. */
  get deviceInfo(): ModelDeviceInfo {
    const { name, threads, isa, fallbackReason } = this.#device;
    return { name, threads, isa, fallbackReason };
  }

  /** Class names by class index, as the family counts them. */
  get classNames(): readonly string[] {
    return this.config.classNames;
  }

  /** Bytes held on the device: weights, runs in flight, caches. */
  memoryStats(): MemoryStats {
    return this.#device.memoryStats();
  }

  /** Gives cached memory and compiled plans back; calls in flight finish with theirs. */
  trim(): void {
    this.#plans.clear();
    this.#device.trim();
  }

  /**
   * Checks options without running anything.
   * @throws InstasegError ERR_ARGUMENT for values out of range and options that the model's family does not have
   */
  checkOptions(options: SegmentOptions): void {
    this.#configure(requireSegmentOptions(options));
  }

  /**
   * Finds the instances in one image.
   * @throws InstasegError ERR_IMAGE, ERR_FILE, ERR_ARGUMENT, ERR_OVERLOADED, ERR_DISPOSED, ERR_OUT_OF_MEMORY
   */
  segment(input: ImageInput, options?: SegmentOptions): Promise<SegmentationResult>;
  /**
   * Finds the instances in several images. Images of equal padded size run together; every result is exactly that of the
   * image's own call. One that fails does not touch the others: see each entry's `status`, as with Promise.allSettled.
   * A few groups are decoded ahead of the one that runs; in the queue the whole list counts as one call.
   * @throws InstasegError ERR_ARGUMENT, ERR_OVERLOADED, ERR_DISPOSED about the call itself; the signal's reason
   */
  segment(
    inputs: readonly ImageInput[],
    options?: SegmentBatchOptions,
  ): Promise<PromiseSettledResult<SegmentationResult>[]>;
  segment(
    input: ImageInput | readonly ImageInput[],
    options: SegmentBatchOptions = {},
  ): Promise<SegmentationResult | PromiseSettledResult<SegmentationResult>[]> {
    const caller = callerOf(this.segment);
    return Array.isArray(input)
      ? this.#track(caller, this.#segmentMany(input as readonly ImageInput[], options, caller))
      : this.#track(caller, this.#segmentOne(input as ImageInput, options));
  }

  /**
   * Results of a stream of images, in order. At most `maxInFlight` images are read ahead, so memory stays flat however
   * long the stream is, and in the queue the whole stream counts as one call. An image that fails ends the stream with
   * its error.
   * @throws InstasegError as `segment` of one image does, ERR_OVERLOADED for the first image only
   */
  stream(
    inputs: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: StreamOptions = {},
  ): AsyncGenerator<SegmentationResult, void, undefined> {
    return this.#stream(inputs, options, callerOf(this.stream));
  }

  async *#stream(
    inputs: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: StreamOptions,
    caller: Caller,
  ): AsyncGenerator<SegmentationResult, void, undefined> {
    const { maxInFlight = 2, ...rest } = doneFor(caller, () => {
      requireIterable('inputs', inputs);
      return requireStreamOptions(options);
    });
    const place = this.#gate.place();
    const ahead: Promise<SegmentationResult>[] = [];
    const begin = (input: ImageInput): void => {
      const result = this.#track(caller, this.#segmentOne(input, rest, place));
      result.catch(() => undefined); // awaited in its turn
      ahead.push(result);
    };
    try {
      for await (const input of inputs) {
        begin(input);
        if (ahead.length >= maxInFlight) yield await ahead.shift()!;
      }
      while (ahead.length > 0) yield await ahead.shift()!;
    } finally {
      place.close();
      await Promise.allSettled(ahead);
    }
  }

  /** Waits for calls in flight, then frees the weights, plans and (its own) device. Idempotent. */
  dispose(): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  /** `dispose` at the end of a block: `await using model = await load(...)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /**
   * The stages of the forward pass that `stages` names, for tests: the images run as one batch padded to the largest.
   * Stages are named as in the reference data, results as the network's plan names them.
   * @internal
   */
  async inspect<P extends Probe>(
    inputs: readonly ImageInput[],
    stages: readonly string[],
    options: SegmentOptions & { probe?: Omit<P, 'see'> } = {},
  ): Promise<Map<string, Tensor>> {
    const config = this.#configure(options);
    const images = await Promise.all(inputs.map((input) => decodeImage(input)));
    const jobs = padTogether(images.map((image) => this.#job(image, config)));
    const plan = await this.#device.compile(
      inputSpecs(jobs),
      (sizes, ...symbols) => {
        const seen: Record<string, SymbolicTensor> = {};
        const see: Probe['see'] = (name, tensor) => {
          if (stages.includes(name)) seen[name] = tensor;
        };
        const recorded = { sizes: sizes, images: symbols, features: this.#features };
        const outputs = this.#network.record(recorded, jobs, this.#parameters, config, { ...options.probe, see });
        Object.entries(outputs).forEach(([name, tensor]) => see(name, tensor as never));
        return seen;
      },
      { variant: this.#variant },
    );
    try {
      return new Map(Object.entries(await plan.run(inputTensors(jobs))) as [string, Tensor][]);
    } finally {
      plan.dispose();
    }
  }

  /**
   * Compiles the plan for a common photograph (640 x 480), so that packing the weights, and the first execution of
   * everything in JavaScript, is behind us when the first image comes.
   * @internal
   */
  async prepare(): Promise<void> {
    const image: DecodedImage = { data: new Uint8Array(0), width: 640, height: 480, channels: 3 };
    const job = this.#job(image, this.config);
    const nothing = (): Promise<void> => Promise.resolve();
    await this.#plans.use(this.#planKey([job], this.config), () => this.#compile([job], this.config), nothing);
  }

  async #segmentOne(
    input: ImageInput,
    options: SegmentOptions,
    place: Pick<Gate, 'pass'> = this.#gate,
  ): Promise<SegmentationResult> {
    const config = this.#configure(requireSegmentOptions(options));
    return place.pass(async () => {
      const started = performance.now();
      const job = this.#job(await this.#decode(input, options), config);
      const decoded = performance.now();
      const stages: Partial<ForwardStages> | undefined = options.profile ? {} : undefined;
      const [instances] = await this.#forward([job], config, options.signal, stages);
      const ended = performance.now();
      const timings = { decode: decoded - started, forward: ended - decoded };
      const profile = stages && { ...(stages as ForwardStages), decode: timings.decode, total: ended - started };
      return new SegmentationResult(job.image, instances!, { ...imageIdOption(options), timings, profile });
    }, options.signal);
  }

  async #segmentMany(
    inputs: readonly ImageInput[],
    options: SegmentBatchOptions,
    caller: Caller,
  ): Promise<PromiseSettledResult<SegmentationResult>[]> {
    const config = this.#configure(requireBatchOptions(options));
    const results = new Array<PromiseSettledResult<SegmentationResult>>(inputs.length);
    if (inputs.length > 0) {
      await this.#gate.pass(() => this.#segmentWindows(inputs, options, config, results), options.signal);
    }
    options.signal?.throwIfAborted();
    for (const result of results) if (result.status === 'rejected') blame(caller, result.reason);
    return results;
  }

  /**
   * Fills `results`, a window of images after the other: while the groups of one run, the next is decoded. Images that
   * fill no group of `maxBatch` wait for others of their size, as long as they are not more than a window.
   */
  async #segmentWindows(
    inputs: readonly ImageInput[],
    options: SegmentBatchOptions,
    config: ModelConfig,
    results: PromiseSettledResult<SegmentationResult>[],
  ): Promise<void> {
    const window = options.padTogether ? inputs.length : WINDOW_GROUPS * this.#maxBatch;
    const decoders = new Gate(SLOTS, Infinity);
    const decode = (i: number): Promise<Job> =>
      decoders.pass(async () => this.#job(await this.#decode(inputs[i]!, options), config));
    const decodeWindow = (begin: number): Promise<PromiseSettledResult<Job>[]> => {
      const indices = Array.from({ length: Math.min(window, inputs.length - begin) }, (_, k) => begin + k);
      return Promise.allSettled(indices.map(decode));
    };
    const run = async (indices: readonly number[], jobs: readonly Job[]): Promise<void> => {
      const outcome = await settle(this.#forward(jobs, config, options.signal));
      indices.forEach((i, k) => {
        results[i] =
          outcome.status === 'rejected'
            ? outcome
            : {
                status: 'fulfilled',
                value: new SegmentationResult(jobs[k]!.image, outcome.value[k]!, imageIdOption(options)),
              };
      });
    };
    const waiting = new Map<number, Job>();
    const running: Promise<void>[] = [];
    let ahead = decodeWindow(0);
    for (let begin = 0; begin < inputs.length; begin += window) {
      const decoded = await ahead;
      const end = begin + decoded.length;
      if (end < inputs.length) ahead = decodeWindow(end);
      for (const [k, outcome] of decoded.entries()) {
        if (outcome.status === 'fulfilled') waiting.set(begin + k, outcome.value);
        else results[begin + k] = outcome;
      }
      const groups = options.padTogether ? [[...waiting.keys()]] : this.#group(waiting, config);
      const full = groups.filter(({ length }) => length === this.#maxBatch);
      const others = waiting.size - full.length * this.#maxBatch;
      for (const indices of end === inputs.length || others > window ? groups : full) {
        const members = indices.map((i) => waiting.get(i)!);
        for (const i of indices) waiting.delete(i);
        if (running.length >= SLOTS) await running.shift();
        running.push(run(indices, options.padTogether ? padTogether(members) : members));
      }
    }
    await Promise.all(running);
  }

  /** Indices of images that one plan can run together, at most maxBatch in each group. */
  #group(jobs: ReadonlyMap<number, Job>, config: ModelConfig): number[][] {
    const byKey = new Map<string, number[]>();
    for (const [i, job] of jobs) {
      const key = this.#planKey([job], config);
      byKey.set(key, [...(byKey.get(key) ?? []), i]);
    }
    return [...byKey.values()].flatMap((indices) => {
      const chunks: number[][] = [];
      for (let at = 0; at < indices.length; at += this.#maxBatch) chunks.push(indices.slice(at, at + this.#maxBatch));
      return chunks;
    });
  }

  #decode(input: ImageInput, options: SegmentOptions): Promise<DecodedImage> {
    return decodeImage(input, {
      ...(options.signal && { signal: options.signal }),
      ...(options.applyOrientation !== undefined && { applyOrientation: options.applyOrientation }),
    });
  }

  #job(image: DecodedImage, config: ModelConfig): Job {
    return { image, ...this.#network.sizes(image, config) };
  }

  /** @param stages is filled in, where it is given */
  async #forward(
    jobs: readonly Job[],
    config: ModelConfig,
    signal: AbortSignal | undefined,
    stages?: Partial<ForwardStages>,
  ): Promise<Instance[][]> {
    if (jobs.length === 0) return [];
    const started = performance.now();
    let compiled = false;
    let found = started;
    const compile = (): Promise<Plan<NetworkOutputs>> => {
      compiled = true;
      return this.#compile(jobs, config);
    };
    const onProfile = stages && ((run: RunProfile): void => void (stages.run = run));
    const outputs = await this.#plans.use(this.#planKey(jobs, config), compile, (plan) => {
      found = performance.now();
      return plan.run(inputTensors(jobs), { signal, onProfile });
    });
    const ran = performance.now();
    const instances = jobs.map(({ image }, n) => this.#instances(outputs, n, jobs.length, image, config));
    if (stages) Object.assign(stages, { plan: found - started, compiled, instances: performance.now() - ran });
    return instances;
  }

  #compile(jobs: readonly Job[], config: ModelConfig): Promise<Plan<NetworkOutputs>> {
    return this.#device.compile(
      inputSpecs(jobs),
      (sizes, ...images) =>
        this.#network.record({ sizes: sizes, images, features: this.#features }, jobs, this.#parameters, config),
      { variant: this.#variant },
    );
  }

  /** Everything that a plan is compiled for. */
  #planKey(jobs: readonly Job[], config: ModelConfig): string {
    return JSON.stringify([jobs.map(imageDType), jobs[0]!.padded, this.#network.planKey(jobs, config)]);
  }

  /** Image n's detections out of a batch's results. */
  #instances(
    outputs: ResultOf<NetworkOutputs>,
    n: number,
    images: number,
    image: DecodedImage,
    config: ModelConfig,
  ): Instance[] {
    const capacity = outputs.scores.length / images;
    const words = new Uint32Array(outputs.bits.data.buffer as ArrayBuffer);
    const size = this.#network.maskSize?.(config) ?? image;
    const instances: Instance[] = [];
    for (let row = n * capacity; row < n * capacity + outputs.counts.data[n]!; row += 1) {
      const described = this.#network.describe(outputs, row, config);
      if (!described) continue;
      const [x, y, width, height] = rowOf(outputs.regions, row) as [number, number, number, number];
      const offset = outputs.offsets.data[row]!;
      const mask = new Mask({
        imageWidth: size.width,
        imageHeight: size.height,
        region: { x, y, width, height },
        words: words.slice(offset, offset + Math.ceil(width / 32) * height),
      });
      instances.push({ ...described, area: mask.area, mask });
    }
    return instances;
  }

  /** The model's configuration with a call's options in it. */
  #configure(options: SegmentOptions): ModelConfig {
    this.#check();
    requireSignal(options.signal);
    const { imageId } = options;
    if (imageId !== undefined && typeof imageId !== 'string' && !Number.isFinite(imageId)) {
      throw invalid('imageId', 'a string or a finite number', imageId);
    }
    return this.#network.configure(this.config, options);
  }

  #check(): void {
    if (this.#disposing) throw new InstasegError('ERR_DISPOSED', 'the model was disposed');
  }

  async #track<T>(caller: Caller, work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    try {
      return await onBehalfOf(caller, work);
    } finally {
      this.#pending.delete(work);
    }
  }

  async #dispose(): Promise<void> {
    await Promise.allSettled(this.#pending);
    this.#plans.clear();
    this.#parameters.dispose();
    if (this.#ownsDevice) await this.#device.dispose();
    else this.#device.trim();
  }
}

/** What #forward measures of a profiled call. */
type ForwardStages = { -readonly [K in 'plan' | 'compiled' | 'run' | 'instances']: SegmentProfile[K] };

function settle<T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> {
  return promise.then(
    (value) => ({ status: 'fulfilled', value }),
    (reason: unknown) => ({ status: 'rejected', reason }),
  );
}

function imageIdOption({ imageId }: SegmentOptions): { imageId?: string | number } {
  return imageId === undefined ? {} : { imageId };
}

/** All jobs with the padded size of the largest, as torchvision batches images. */
function padTogether(jobs: readonly Job[]): Job[] {
  const padded = {
    height: Math.max(...jobs.map((job) => job.padded.height)),
    width: Math.max(...jobs.map((job) => job.padded.width)),
  };
  return jobs.map((job) => ({ ...job, padded }));
}

function imageDType({ image }: Job): 'u8' | 'f32' {
  return image.data instanceof Float32Array ? 'f32' : 'u8';
}

function inputSpecs(jobs: readonly Job[]): { dtype: 'i32' | 'u8' | 'f32'; shape: number[] }[] {
  return [
    { dtype: 'i32', shape: [jobs.length, 4] },
    ...jobs.map((job) => ({ dtype: imageDType(job), shape: [-1, -1, 3] })),
  ];
}

function inputTensors(jobs: readonly Job[]): Tensor[] {
  const sizes = jobs.flatMap(({ image, resized }) => [image.height, image.width, resized.height, resized.width]);
  return [
    Tensor.from(Int32Array.from(sizes), [jobs.length, 4]),
    ...jobs.map(({ image }) => Tensor.from(image.data, [image.height, image.width, 3])),
  ];
}

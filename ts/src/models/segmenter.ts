/** What every instance segmentation model offers: images in, instances with masks out. */
import { decodeImage, type DecodedImage } from '../image/decode.js';
import type { ImageInput } from '../image/input.js';
import { Mask } from '../masks/mask.js';
import type { Parameters } from '../nn/parameters.js';
import { paddedSize, resizedSize, type Size } from '../nn/resized-size.js';
import type { Device, MemoryStats } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import { Gate } from '../runtime/gate.js';
import { PlanCache } from '../runtime/plan-cache.js';
import type { Plan, ResultOf } from '../runtime/plan.js';
import { Tensor } from '../runtime/tensor.js';
import { invalid, requireInteger, requireNumber, requireSignal } from '../runtime/validate.js';
import { overrideConfig, type ConfigOverrides, type MaskRcnnConfig } from '../weights/families/config.js';
import {
  featureScales,
  maskRcnn,
  type MaskRcnnGeometry,
  type MaskRcnnOutputs,
  type MaskRcnnProbe,
} from './mask-rcnn.js';
import { SegmentationResult, type Instance } from './result.js';

/** Everything left out is as the model's family defines it. */
export interface SegmentOptions {
  /** A detection needs a class score above this, 0 to 1. */
  readonly scoreThreshold?: number | undefined;
  /** IoU above which the weaker of two detections of a class is dropped, 0 to 1. */
  readonly nmsThreshold?: number | undefined;
  /** Most detections an image. */
  readonly maxDetections?: number | undefined;
  /** The image is resized so that its shorter side has this many pixels ... */
  readonly minSize?: number | undefined;
  /** ... unless its longer side would have more than this. */
  readonly maxSize?: number | undefined;
  /** A pixel belongs to a mask where its probability is above this, 0 to 1. */
  readonly maskThreshold?: number | undefined;
  /** Candidates of each pyramid level before the proposals' NMS. */
  readonly preNmsTopN?: number | undefined;
  /** Proposals after it. */
  readonly postNmsTopN?: number | undefined;
  /** IoU threshold of the proposals' NMS, 0 to 1. */
  readonly rpnNmsThreshold?: number | undefined;
  /** Whether the EXIF orientation is applied; by default true. */
  readonly applyOrientation?: boolean | undefined;
  /** `image_id` of the JSON; by default the file's base name. */
  readonly imageId?: string | number | undefined;
  /** Takes the call out of the queue, or stops it before its next op; rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface SegmentBatchOptions extends SegmentOptions {
  /**
   * Pads all images to the size of the largest one and runs them as one batch, as torchvision does with a list. Results
   * then depend a little on which images come together; without it each image's result is exactly that of its own call.
   */
  readonly padTogether?: boolean | undefined;
}

export interface StreamOptions extends SegmentOptions {
  /** Images read ahead of the one whose result is awaited; by default 2. */
  readonly maxInFlight?: number | undefined;
}

/** How a model uses its device; set when it is loaded. */
export interface SegmenterOptions {
  /** Calls that may wait before more are refused with ERR_OVERLOADED; by default 256. */
  readonly maxQueue?: number | undefined;
  /** Most images of equal padded size that run as one batch in `segment([...])`; by default 4. */
  readonly maxBatch?: number | undefined;
  /** Bytes of compiled plans that are kept, one a padded size; by default 64 MiB. */
  readonly planCacheBytes?: number | undefined;
}

/** Where a model runs. */
export interface ModelDeviceInfo {
  readonly name: string;
  readonly threads: number;
  readonly isa: string;
  /** With device `auto`: why it is not CUDA. */
  readonly fallbackReason: string | undefined;
}

/** One decoded image and what becomes of it. */
interface Job {
  readonly image: DecodedImage;
  readonly resized: Size;
  readonly padded: Size;
}

type ForwardResult = ResultOf<MaskRcnnOutputs>;

// One run on the device and one being prepared keep it busy; more would only hold memory.
const SLOTS = 2;

/** A loaded model. See {@link load}. */
export class InstanceSegmenter {
  readonly #device: Device;
  readonly #ownsDevice: boolean;
  readonly #parameters: Parameters;
  readonly #plans: PlanCache<MaskRcnnOutputs>;
  readonly #gate: Gate;
  readonly #maxBatch: number;
  readonly #pending = new Set<Promise<unknown>>();
  #disposing: Promise<void> | undefined;

  /** @internal Use `load`. */
  constructor(
    device: Device,
    parameters: Parameters,
    /** The family and everything that the forward pass depends on. */
    readonly config: MaskRcnnConfig,
    options: SegmenterOptions & { ownsDevice: boolean },
  ) {
    this.#device = device;
    this.#ownsDevice = options.ownsDevice;
    this.#parameters = parameters;
    this.#plans = new PlanCache(requireInteger('planCacheBytes', options.planCacheBytes ?? 64 << 20, 0));
    this.#gate = new Gate(SLOTS, requireInteger('maxQueue', options.maxQueue ?? 256, 0));
    this.#maxBatch = requireInteger('maxBatch', options.maxBatch ?? 4, 1, 64);
  }

  /** The device that the model really runs on. */
  get device(): string {
    return this.#device.name;
  }

  get deviceInfo(): ModelDeviceInfo {
    const { name, threads, isa, fallbackReason } = this.#device;
    return { name, threads, isa, fallbackReason };
  }

  /** Class names by class index; 0 is the background. */
  get classNames(): readonly string[] {
    return this.config.classNames;
  }

  /** Bytes held on the device: weights, runs in flight, caches. */
  memoryStats(): MemoryStats {
    return this.#device.memoryStats();
  }

  /** Gives cached memory and compiled plans back. */
  trim(): void {
    this.#plans.clear();
    this.#device.trim();
  }

  /**
   * Finds the instances in one image.
   * @throws InstasegError ERR_IMAGE, ERR_FILE, ERR_ARGUMENT, ERR_OVERLOADED, ERR_DISPOSED, ERR_OUT_OF_MEMORY
   */
  segment(input: ImageInput, options?: SegmentOptions): Promise<SegmentationResult>;
  /**
   * Finds the instances in several images. Images of equal padded size run together; every result is exactly that of the
   * image's own call. One that fails does not touch the others: see each entry's `status`, as with Promise.allSettled.
   */
  segment(
    inputs: readonly ImageInput[],
    options?: SegmentBatchOptions,
  ): Promise<PromiseSettledResult<SegmentationResult>[]>;
  segment(
    input: ImageInput | readonly ImageInput[],
    options: SegmentBatchOptions = {},
  ): Promise<SegmentationResult | PromiseSettledResult<SegmentationResult>[]> {
    return Array.isArray(input)
      ? this.#track(this.#segmentMany(input as readonly ImageInput[], options))
      : this.#track(this.#segmentOne(input as ImageInput, options));
  }

  /**
   * Results of a stream of images, in order. At most `maxInFlight` images are read ahead, so memory stays flat however
   * long the stream is. An image that fails ends the stream with its error.
   */
  async *stream(
    inputs: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: StreamOptions = {},
  ): AsyncGenerator<SegmentationResult, void, undefined> {
    const { maxInFlight = 2, ...rest } = options;
    requireInteger('maxInFlight', maxInFlight, 1, 1024);
    const ahead: Promise<SegmentationResult>[] = [];
    const begin = (input: ImageInput): void => {
      const result = this.segment(input, rest);
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
      await Promise.allSettled(ahead);
    }
  }

  /** Waits for calls in flight, then frees the weights, plans and (its own) device. Idempotent. */
  dispose(): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /**
   * The stages of the forward pass for tests and curiosity: every tensor that `stages` names (names as in the
   * documentation of the network), or all of them.
   * @internal
   */
  async inspect(
    inputs: readonly ImageInput[],
    stages: readonly string[],
    options: SegmentBatchOptions & { probe?: Omit<MaskRcnnProbe, 'see'> } = {},
  ): Promise<Map<string, Tensor>> {
    const config = this.#configure(options);
    const images = await Promise.all(inputs.map((input) => decodeImage(input)));
    const jobs = padTogether(images.map((image) => this.#plan(image, config)));
    const geometry = geometryOf(jobs, config);
    const plan = await this.#device.compile(inputSpecs(jobs), (sizes, ...symbols) => {
      const seen: Record<string, never> = {};
      const see = (name: string, tensor: unknown): void => {
        if (stages.includes(name)) Object.assign(seen, { [name]: tensor });
      };
      const outputs = maskRcnn({ sizes: sizes, images: symbols }, this.#parameters, config, geometry, {
        ...options.probe,
        see,
      });
      for (const [name, tensor] of Object.entries(outputs)) see(name, tensor);
      return seen;
    });
    try {
      return new Map(Object.entries(await plan.run(inputTensors(jobs))));
    } finally {
      plan.dispose();
    }
  }

  async #segmentOne(input: ImageInput, options: SegmentOptions): Promise<SegmentationResult> {
    const config = this.#configure(options);
    return this.#gate.pass(async () => {
      const started = performance.now();
      const job = this.#plan(await this.#decode(input, options), config);
      const decoded = performance.now();
      const [instances] = await this.#forward([job], config, options.signal);
      const timings = { decode: decoded - started, forward: performance.now() - decoded };
      return new SegmentationResult(job.image, instances!, { ...imageIdOption(options), timings });
    }, options.signal);
  }

  async #segmentMany(
    inputs: readonly ImageInput[],
    options: SegmentBatchOptions,
  ): Promise<PromiseSettledResult<SegmentationResult>[]> {
    const config = this.#configure(options);
    const results = new Array<PromiseSettledResult<SegmentationResult>>(inputs.length);
    const jobs = new Map<number, Job>();
    await Promise.all(
      inputs.map((input, i) =>
        this.#gate
          .pass(async () => jobs.set(i, this.#plan(await this.#decode(input, options), config)), options.signal)
          .catch((reason: unknown) => {
            results[i] = { status: 'rejected', reason };
          }),
      ),
    );
    options.signal?.throwIfAborted();
    const groups = options.padTogether ? [[...jobs.keys()].sort((a, b) => a - b)] : this.#group(jobs, config);
    await Promise.all(
      groups.map(async (indices) => {
        const members = indices.map((i) => jobs.get(i)!);
        const batch = options.padTogether ? padTogether(members) : members;
        const outcome = await settle(
          this.#gate.pass(() => this.#forward(batch, config, options.signal), options.signal),
        );
        indices.forEach((i, k) => {
          results[i] =
            outcome.status === 'rejected'
              ? outcome
              : {
                  status: 'fulfilled',
                  value: new SegmentationResult(batch[k]!.image, outcome.value[k]!, imageIdOption(options)),
                };
        });
      }),
    );
    options.signal?.throwIfAborted();
    return results;
  }

  /** Indices of images that one plan can run together, at most maxBatch in each group. */
  #group(jobs: ReadonlyMap<number, Job>, config: MaskRcnnConfig): number[][] {
    const byKey = new Map<string, number[]>();
    for (const [i, job] of jobs) {
      const key = planKey([job], geometryOf([job], config), config);
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

  #plan(image: DecodedImage, config: MaskRcnnConfig): Job {
    const resized = resizedSize(image, config.image);
    return { image, resized, padded: paddedSize(resized, config.image.sizeDivisor) };
  }

  async #forward(jobs: readonly Job[], config: MaskRcnnConfig, signal: AbortSignal | undefined): Promise<Instance[][]> {
    if (jobs.length === 0) return [];
    const geometry = geometryOf(jobs, config);
    const plan = await this.#plans.get(planKey(jobs, geometry, config), () => this.#compile(jobs, config, geometry));
    const outputs = await plan.run(inputTensors(jobs), { signal });
    return jobs.map(({ image }, n) => toInstances(outputs, n, jobs.length, image, config));
  }

  #compile(jobs: readonly Job[], config: MaskRcnnConfig, geometry: MaskRcnnGeometry): Promise<Plan<MaskRcnnOutputs>> {
    return this.#device.compile(inputSpecs(jobs), (sizes, ...images) =>
      maskRcnn({ sizes: sizes, images }, this.#parameters, config, geometry),
    );
  }

  /** The model's configuration with a call's options in it. */
  #configure(options: SegmentOptions): MaskRcnnConfig {
    this.#check();
    requireSignal(options.signal);
    return overrideConfig(this.config, checkOptions(options));
  }

  #check(): void {
    if (this.#disposing) throw new InstasegError('ERR_DISPOSED', 'the model was disposed');
  }

  #track<T>(promise: Promise<T>): Promise<T> {
    this.#pending.add(promise);
    const forget = (): boolean => this.#pending.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  async #dispose(): Promise<void> {
    await Promise.allSettled(this.#pending);
    this.#plans.clear();
    await Promise.resolve(); // plans' own disposal is queued behind their promises
    this.#parameters.dispose();
    if (this.#ownsDevice) await this.#device.dispose();
    else this.#device.trim();
  }
}

function settle<T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> {
  return promise.then(
    (value) => ({ status: 'fulfilled', value }),
    (reason: unknown) => ({ status: 'rejected', reason }),
  );
}

/** Only the entries that are set, so that `undefined` never replaces a default. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** The options of a call, checked, as overrides of the configuration. */
function checkOptions(options: SegmentOptions): ConfigOverrides {
  const fraction = (name: keyof SegmentOptions): number | undefined =>
    options[name] === undefined ? undefined : requireNumber(name, options[name], 0, 1);
  const count = (name: keyof SegmentOptions, maximum: number): number | undefined =>
    options[name] === undefined ? undefined : requireInteger(name, options[name], 1, maximum);
  const { imageId } = options;
  if (imageId !== undefined && typeof imageId !== 'string' && !Number.isFinite(imageId)) {
    throw invalid('imageId', 'a string or a finite number', imageId);
  }
  return {
    box: defined({
      scoreThreshold: fraction('scoreThreshold'),
      nmsThreshold: fraction('nmsThreshold'),
      maxDetections: count('maxDetections', 10_000),
    }),
    rpn: defined({
      nmsThreshold: fraction('rpnNmsThreshold'),
      preNmsTopN: count('preNmsTopN', 100_000),
      postNmsTopN: count('postNmsTopN', 100_000),
    }),
    mask: defined({ threshold: fraction('maskThreshold') }),
    image: defined({ minSize: count('minSize', 16_384), maxSize: count('maxSize', 16_384) }),
  };
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

function geometryOf(jobs: readonly Job[], config: MaskRcnnConfig): MaskRcnnGeometry {
  const { padded } = jobs[0]!;
  return { padded, scales: featureScales(config, padded, Math.max(...jobs.map((job) => job.resized.height))) };
}

function imageDType({ image }: Job): 'u8' | 'f32' {
  return image.data instanceof Float32Array ? 'f32' : 'u8';
}

/** Everything that a plan is compiled for. */
function planKey(jobs: readonly Job[], geometry: MaskRcnnGeometry, config: MaskRcnnConfig): string {
  const { rpn, box, mask } = config;
  return JSON.stringify([jobs.map(imageDType), geometry, rpn, box, mask]);
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

/** Image n's detections out of a batch's results. */
function toInstances(
  outputs: ForwardResult,
  n: number,
  images: number,
  image: DecodedImage,
  config: MaskRcnnConfig,
): Instance[] {
  const capacity = outputs.scores.length / images;
  const words = new Uint32Array(outputs.bits.data.buffer as ArrayBuffer);
  const count = outputs.counts.data[n]!;
  return Array.from({ length: count }, (_, i) => {
    const row = n * capacity + i;
    const at = (tensor: Tensor, width: number): number[] => [...tensor.data.subarray(row * width, (row + 1) * width)];
    const [x1, y1, x2, y2] = at(outputs.boxes, 4) as [number, number, number, number];
    const [x, y, width, height] = at(outputs.regions, 4) as [number, number, number, number];
    const classId = outputs.labels.data[row]!;
    const offset = outputs.offsets.data[row]!;
    const mask = new Mask({
      imageWidth: image.width,
      imageHeight: image.height,
      region: { x, y, width, height },
      words: words.slice(offset, offset + Math.ceil(width / 32) * height),
    });
    return {
      label: config.classNames[classId] ?? String(classId),
      classId,
      categoryId: config.categoryIds[classId] ?? classId,
      score: outputs.scores.data[row]!,
      box: [x1, y1, x2 - x1, y2 - y1],
      area: mask.area,
      mask,
    };
  });
}

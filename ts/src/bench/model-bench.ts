/** Whole networks, from the file of an image to the JSON of its instances: checked, then timed end to end and by stage. */
import { readFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import { loadSharp } from '../image/sharp.js';
import { load, type LoadOptions } from '../models/load.js';
import type { SegmentationResult, SegmentProfile } from '../models/result.js';
import type { InstanceSegmenter } from '../models/segmenter.js';
import type { DeviceName } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import type { Ceilings } from './ceilings.js';
import type { OpPrecision } from './check.js';
import { measureMemory, type PeakMemory } from './memory.js';
import { compareResults, type ModelCheck } from './model-check.js';
import { PACKAGE_ROOT } from './package-root.js';
import { underRoofline, type UnderRoofline } from './roofline.js';
import { middleHalf, sample, type SamplingOptions, type Statistics } from './samples.js';
import { seededImage, writeSeededModel } from './seeded-model.js';

/** The stages of one image; milliseconds. */
export const STAGES = [
  'decode',
  'plan',
  'inputs',
  'queue',
  'preprocess',
  'network',
  'postprocess',
  'around',
  'delivery',
  'instances',
  'json',
  'other',
] as const;
export type Stage = (typeof STAGES)[number];

/** The stages that kernels are in. */
export const KERNEL_STAGES = ['preprocess', 'network', 'postprocess'] as const;
export type KernelStage = (typeof KERNEL_STAGES)[number];

/** What each stage is, for tables and documentation. */
export const STAGE_NAMES: Readonly<Record<Stage, string>> = {
  decode: 'decode the image',
  plan: 'look the plan up',
  inputs: 'copy the inputs',
  queue: 'wait for the device',
  preprocess: 'kernels: preprocessing',
  network: 'kernels: the network',
  postprocess: 'kernels: proposals, detections, masks',
  around: 'memory around the kernels',
  delivery: 'results to JavaScript',
  instances: 'instances out of results',
  json: 'RLE and JSON',
  other: 'between the stages',
};

/** Ops on feature maps that have no weights. */
const NETWORK_OPS = new Set([
  ...['adaptivePool2d', 'add', 'avgPool2d', 'batchNorm', 'maxPool2d', 'relu', 'resize', 'roiAlign', 'tanh'],
]);

/**
 * The stage of a step: preprocessing by its op; the network is layers with weights and what lies between them on feature
 * maps; everything else turns predictions into proposals, detections and masks.
 */
export function kernelStage({ op, label }: { readonly op: string; readonly label?: string | undefined }): KernelStage {
  if (op.startsWith('preprocess')) return 'preprocess';
  return label !== undefined || NETWORK_OPS.has(op) ? 'network' : 'postprocess';
}

/** One step of the plan. */
export interface LayerMeasurement {
  /** The layer whose weights it has, where it has any. */
  readonly layer: string | null;
  readonly stage: KernelStage;
  readonly op: string;
  readonly variant: string;
  readonly output: readonly number[];
  /** Works on counted rows: flops and bytes are those of full capacity, and there are no percentages. */
  readonly counted: boolean;
  readonly flops: number;
  readonly bytes: number;
  /** Mean of the runs that the stages are of. */
  readonly milliseconds: number;
}

export interface LayerRow extends LayerMeasurement, UnderRoofline {}

export interface ModelMeasurement {
  readonly model: string;
  /** "random, seed 1", "bundled", or the file. */
  readonly weights: string;
  readonly precision: OpPrecision;
  readonly image: { readonly name: string; readonly width: number; readonly height: number };
  /** Null where there are no other kernels to compare with. */
  readonly check: ModelCheck | null;
  readonly detections: number;
  /** Loading the weights and packing them, once. */
  readonly loadMs: number;
  /** The first image. */
  readonly firstMs: number;
  /** Compiling the plan of this size anew; the weights stay packed. `load` does it once for photographs of 640 x 480. */
  readonly compileMs: number;
  /** From the bytes of an image file to the JSON of its instances. */
  readonly endToEnd: Statistics;
  /**
   * Of runs with a profile, which on the CPU are those of `endToEnd`: a GPU launches a plan as a whole without one, and
   * step by step with one. Stages are means of the half of them in the middle, and add up to the time of those.
   */
  readonly profiled: { readonly samples: number; readonly milliseconds: number };
  readonly stages: Readonly<Record<Stage, number>>;
  /** Everything that is not a kernel, as a fraction of all stages. */
  readonly outsideKernels: number;
  /** Of the steps whose work is known: those on counted rows are left out. */
  readonly gflop: number;
  /** The same steps over their time. */
  readonly gflops: number;
  /** Of a process of its own. */
  readonly peakMemory: PeakMemory;
  readonly layers: readonly LayerMeasurement[];
}

/** The same under the ceilings, which are known when everything was measured. */
export interface ModelRow extends Omit<ModelMeasurement, 'layers'> {
  readonly percentOfArithmetic: number | null;
  readonly layers: readonly LayerRow[];
}

export interface ModelBenchOptions extends SamplingOptions {
  readonly precision: OpPrecision;
  readonly randomWeights: boolean;
  /** An image file; by default one of the package. */
  readonly image?: string | undefined;
  readonly load: Pick<LoadOptions, 'threads' | 'isa' | 'onDownload'> & { readonly device: DeviceName };
  readonly signal?: AbortSignal | undefined;
  /** Told what is being done. */
  readonly note?: ((text: string) => void) | undefined;
}

/** Runs with a profile on a GPU, beside those without. */
const GPU_PROFILED_RUNS = 20;

/** FLOP that scalar kernels do within some seconds; both networks of the package take less. */
const SCALAR_BUDGET = 10e9;

interface Source {
  readonly file: string;
  readonly weights: string;
  remove(): void;
}

interface ImageSize {
  readonly width: number;
  readonly height: number;
}

const isBundled = (name: string): boolean => name.endsWith('_demo');

/** The size that a picture of the package is brought to; its own for undefined. */
function sizeOf(name: string, randomWeights: boolean): ImageSize | undefined {
  if (randomWeights) return seededImage(name);
  return isBundled(name) ? undefined : { width: 640, height: 480 };
}

async function openSource(name: string, randomWeights: boolean): Promise<Source> {
  if (randomWeights) {
    const { file, seed, remove } = await writeSeededModel(name);
    return { file, weights: `random, seed ${seed}`, remove };
  }
  return { file: name, weights: isBundled(name) ? 'bundled' : name, remove: () => undefined };
}

/** The bytes of an image file: the caller's, or a drawn scene of the package, as a JPEG of the size that is asked for. */
async function imageBytes(
  path: string | undefined,
  size: ImageSize | undefined,
): Promise<{ name: string; bytes: Buffer }> {
  const scene = join(PACKAGE_ROOT, 'models', 'demo', 'scenes', 'scene-1.jpg');
  const file = path ?? scene;
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new InstasegError('ERR_FILE', `cannot read the image '${file}' (${reason})`, { cause });
  }
  const name = parse(file).base;
  if (path !== undefined || !size) return { name, bytes };
  const sharp = await loadSharp();
  const enlarged = sharp(bytes).resize(size.width, size.height, { fit: 'fill' }).jpeg({ quality: 90 });
  return { name: `${name} at ${size.width} x ${size.height}`, bytes: await enlarged.toBuffer() };
}

/** A network that is loaded and has seen its image; `measure` checks it, then times it. */
export class ModelBench {
  readonly #name: string;
  readonly #options: ModelBenchOptions;
  readonly #source: Source;
  readonly #image: { readonly name: string; readonly bytes: Buffer };
  readonly #model: InstanceSegmenter;
  readonly #first: SegmentationResult;
  readonly #times: Pick<ModelMeasurement, 'loadMs' | 'firstMs'>;

  private constructor(
    name: string,
    options: ModelBenchOptions,
    source: Source,
    image: { readonly name: string; readonly bytes: Buffer },
    model: InstanceSegmenter,
    first: SegmentationResult,
    times: Pick<ModelMeasurement, 'loadMs' | 'firstMs'>,
  ) {
    this.#name = name;
    this.#options = options;
    this.#source = source;
    this.#image = image;
    this.#model = model;
    this.#first = first;
    this.#times = times;
  }

  /**
   * @param name of a network: bundled, published, or with `randomWeights` one of benchmarks/models; or its file
   * @throws InstasegError as `load` and `segment` do
   */
  static async open(name: string, options: ModelBenchOptions): Promise<ModelBench> {
    const { precision, signal, note } = options;
    // Before anything that takes long.
    const image = await imageBytes(options.image, sizeOf(name, options.randomWeights));
    if (precision !== 'f32' && options.load.device === 'cpu') {
      throw new InstasegError('ERR_UNSUPPORTED', `precision ${precision} needs a CUDA device`);
    }
    const source = await openSource(name, options.randomWeights);
    try {
      note?.('loading');
      const loading = performance.now();
      const model = await load(source.file, { ...options.load, precision, signal });
      try {
        const loaded = performance.now();
        const first = await model.segment(image.bytes, { signal, profile: true });
        const times = { loadMs: loaded - loading, firstMs: performance.now() - loaded };
        return new ModelBench(name, options, source, image, model, first, times);
      } catch (error) {
        await model.dispose();
        throw error;
      }
    } catch (error) {
      source.remove();
      throw error;
    }
  }

  async dispose(): Promise<void> {
    await this.#model.dispose();
    this.#source.remove();
  }

  /** @throws InstasegError ERR_WRONG_RESULT where an independent computation finds something else */
  async measure(): Promise<ModelMeasurement> {
    const { precision, signal, note, samples, seconds } = this.#options;
    const [model, first] = [this.#model, this.#first];
    const check = await this.#check();
    if (check && !check.right) {
      throw new InstasegError(
        'ERR_WRONG_RESULT',
        `${this.#name}: ${check.matched} of ${check.expected} detections (and ${check.found} found) agree with ` +
          `${check.against}; it is not timed`,
      );
    }
    note?.('timing');
    const onCpu = model.device === 'cpu';
    const runs: ProfiledRun[] = [];
    const profiled = async (): Promise<number> => {
      const run = await this.#run(true);
      runs.push(run);
      return run.total;
    };
    const plain = async (): Promise<number> => (await this.#run(false)).total;
    const endToEnd = await sample(onCpu ? profiled : plain, { samples, seconds }, signal);
    const kept = onCpu
      ? endToEnd
      : await sample(profiled, { samples: Math.min(samples, GPU_PROFILED_RUNS), seconds }, signal);
    model.trim();
    const anew = await model.segment(this.#image.bytes, { signal, profile: true });
    note?.('measuring memory in a process of its own');
    const { device, threads, isa } = this.#options.load;
    const peakMemory = await measureMemory(
      { file: this.#source.file, options: { device, threads, isa, precision }, image: this.#image.bytes },
      signal,
    );
    return {
      model: this.#options.randomWeights ? this.#name : parse(this.#name).name,
      weights: this.#source.weights,
      precision,
      image: { name: this.#image.name, width: first.width, height: first.height },
      check,
      detections: first.instances.length,
      ...this.#times,
      compileMs: anew.profile!.plan,
      endToEnd,
      ...summarizeRuns(runs.slice(-kept.samples)),
      peakMemory,
    };
  }

  /** One image, from the bytes of its file to the JSON of its instances. */
  async #run(profile: boolean): Promise<ProfiledRun> {
    const started = performance.now();
    const result = await this.#model.segment(this.#image.bytes, { signal: this.#options.signal, profile });
    const found = performance.now();
    JSON.stringify(result);
    const ended = performance.now();
    return { profile: result.profile!, json: ended - found, total: ended - started };
  }

  /** Against the same network on other kernels; null where there are none, or where they would take minutes. */
  async #check(): Promise<ModelCheck | null> {
    const { signal, note, precision } = this.#options;
    const { device, deviceInfo } = this.#model;
    let [kernels, against]: [LoadOptions, string] = [{ isa: undefined }, 'the CPU'];
    if (device === 'cpu') {
      [kernels, against] = [{ isa: 'baseline' }, 'the kernels of the baseline instruction set'];
      if (deviceInfo.isa === 'baseline') {
        const work = this.#first.profile!.run.steps.reduce((sum, { flops }) => sum + flops, 0);
        if (work > SCALAR_BUDGET) return null;
        [kernels, against] = [{ isa: 'baseline', variant: 'reference' }, 'the scalar reference kernels'];
      }
    }
    note?.('computing the expected result');
    const oracle = await load(this.#source.file, { device: 'cpu', ...kernels, signal });
    try {
      const expected = await oracle.segment(this.#image.bytes, { signal });
      return compareResults(this.#first, expected, precision, against);
    } finally {
      await oracle.dispose();
    }
  }
}

/** A run and where its time went. */
export interface ProfiledRun {
  readonly profile: SegmentProfile;
  readonly json: number;
  readonly total: number;
}

/** What each stage took in one run; they add up to its time. */
export function stagesOf({ profile, json, total }: ProfiledRun): Record<Stage, number> {
  const { inputs, queued, running, steps, total: run } = profile.run;
  const kernels: Record<KernelStage, number> = { preprocess: 0, network: 0, postprocess: 0 };
  for (const step of steps) kernels[kernelStage(step)] += step.milliseconds;
  const inKernels = kernels.preprocess + kernels.network + kernels.postprocess;
  const known = {
    decode: profile.decode,
    plan: profile.plan,
    inputs,
    queue: queued,
    ...kernels,
    around: running - inKernels,
    delivery: run - inputs - queued - running,
    instances: profile.instances,
    json,
  };
  return { ...known, other: total - Object.values(known).reduce((sum, time) => sum + time, 0) };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

export function summarizeRuns(
  all: readonly ProfiledRun[],
): Pick<ModelMeasurement, 'profiled' | 'stages' | 'outsideKernels' | 'gflop' | 'gflops' | 'layers'> {
  // Of whole runs, so that what is said of the parts adds up to what is said of the whole.
  const runs = middleHalf(all.map(({ total }) => total)).map((i) => all[i]!);
  const each = runs.map(stagesOf);
  const stages = Object.fromEntries(
    // Clocks are read in several places: a stage that takes no time can come out a little below 0.
    STAGES.map((stage) => [stage, Math.max(0, mean(each.map((found) => found[stage])))]),
  ) as Record<Stage, number>;
  const total = Object.values(stages).reduce((sum, time) => sum + time, 0);
  const layers = runs[0]!.profile.run.steps.map((step, i): LayerMeasurement => {
    const { label, op, variant, counted, output, flops, bytes } = step;
    const milliseconds = mean(runs.map(({ profile }) => profile.run.steps[i]!.milliseconds));
    return { layer: label ?? null, stage: kernelStage(step), op, variant, output, counted, flops, bytes, milliseconds };
  });
  const known = layers.filter(({ counted, flops }) => !counted && flops > 0);
  const gflop = known.reduce((sum, { flops }) => sum + flops, 0) / 1e9;
  return {
    profiled: { samples: all.length, milliseconds: total },
    stages,
    outsideKernels: 1 - KERNEL_STAGES.reduce((sum, stage) => sum + stages[stage], 0) / total,
    gflop,
    gflops: (1000 * gflop) / known.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    layers,
  };
}

/** A network under the ceilings. */
export function placeModel(row: ModelMeasurement, ceilings: Ceilings): ModelRow {
  const { precision, gflops } = row;
  return {
    ...row,
    percentOfArithmetic: precision === 'f32' ? (100 * gflops) / ceilings.gflops : null,
    layers: row.layers.map((layer) => ({ ...layer, ...underRoofline({ ...layer, precision }, ceilings) })),
  };
}

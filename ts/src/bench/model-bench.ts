/** Whole networks, from the file of an image to the JSON of its instances: checked, timed end to end, then by stage. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import type { ImageInput } from '../image/input.js';
import { loadSharp } from '../image/sharp.js';
import { load, type LoadOptions } from '../models/load.js';
import type { SegmentProfile } from '../models/result.js';
import type { InstanceSegmenter } from '../models/segmenter.js';
import type { DeviceName } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import type { Ceilings } from './ceilings.js';
import type { OpPrecision } from './check.js';
import { compareResults, type ModelCheck } from './model-check.js';
import { PACKAGE_ROOT } from './package-root.js';
import { median, sample, type SamplingOptions, type Statistics } from './samples.js';
import { writeSeededModel } from './seeded-model.js';

/** The stages of one image, in the order in which they happen; milliseconds. */
export const STAGES = [
  'decode',
  'plan',
  'inputs',
  'queue',
  'kernels',
  'around',
  'delivery',
  'instances',
  'json',
] as const;
export type Stage = (typeof STAGES)[number];

/** What each stage is, for tables and documentation. */
export const STAGE_NAMES: Readonly<Record<Stage, string>> = {
  decode: 'read and decode the image',
  plan: 'look the plan up',
  inputs: 'copy the inputs',
  queue: 'wait for the device',
  kernels: 'kernels, preprocessing to masks',
  around: 'memory around the kernels',
  delivery: 'results to JavaScript',
  instances: 'instances out of results',
  json: 'RLE and JSON',
};

/** One step of the plan. */
export interface LayerRow {
  /** The layer whose weights it has, where it has any. */
  readonly layer: string | null;
  readonly op: string;
  readonly variant: string;
  readonly output: readonly number[];
  /** Works on counted rows: flops and bytes are those of full capacity, and there are no percentages. */
  readonly counted: boolean;
  readonly flops: number;
  readonly bytes: number;
  /** Median of the profiled runs. */
  readonly milliseconds: number;
  readonly percentOfArithmetic: number | null;
  readonly percentOfBandwidth: number | null;
  readonly bound: 'compute' | 'memory';
}

export interface ModelRow {
  readonly model: string;
  /** "random, seed 1", "bundled", or the file. */
  readonly weights: string;
  readonly precision: OpPrecision;
  readonly image: { readonly name: string; readonly width: number; readonly height: number };
  readonly check: ModelCheck;
  readonly detections: number;
  /** Loading the weights and packing them, once. */
  readonly loadMs: number;
  /** The first image. */
  readonly firstMs: number;
  /** Compiling the plan of this size anew; the weights stay packed. `load` does it once for photographs of 640 x 480. */
  readonly compileMs: number;
  /** Image file to instances with masks; the JSON is not in it. */
  readonly endToEnd: Statistics;
  /** Medians of profiled runs. */
  readonly stages: Readonly<Record<Stage, number>>;
  /** Everything that is not a kernel, as a fraction of all stages. */
  readonly outsideKernels: number;
  /** Of the steps whose work is known: those on counted rows are left out. */
  readonly gflop: number;
  /** The same steps over their time. */
  readonly gflops: number;
  readonly percentOfArithmetic: number | null;
  /** Bytes: the process at most, and the device's own memory (weights included) at most. */
  readonly peakRss: number | null;
  readonly peakDevice: number;
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

const PROFILED_RUNS = 5;

interface Source {
  readonly file: string;
  readonly weights: string;
  /** Size that a picture of the package is brought to; its own for undefined. */
  readonly size?: { readonly width: number; readonly height: number } | undefined;
  remove(): void;
}

async function openSource(name: string, randomWeights: boolean): Promise<Source> {
  if (randomWeights) {
    const { file, seed, image, remove } = await writeSeededModel(name);
    return { file, weights: `random, seed ${seed}`, size: image, remove };
  }
  const bundled = name.endsWith('_demo');
  return {
    file: name,
    weights: bundled ? 'bundled' : name,
    size: bundled ? undefined : { width: 640, height: 480 },
    remove: () => undefined,
  };
}

/** The bytes of an image file: the caller's, or a drawn scene of the package, as a JPEG of the size that is asked for. */
async function imageBytes(path: string | undefined, size: Source['size']): Promise<{ name: string; bytes: Buffer }> {
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

/** Sets the highest resident size back to the present one, where the system allows (Linux). */
function resetPeakRss(): boolean {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    return true;
  } catch {
    return false;
  }
}

function peakRss(): number | null {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}

/**
 * Measures a network by its name (bundled, published, or with `randomWeights` one of benchmarks/models) or by its file.
 * @throws InstasegError as `load` does, ERR_WRONG_RESULT where an independent computation finds something else
 */
export async function benchModel(name: string, ceilings: Ceilings, options: ModelBenchOptions): Promise<ModelRow> {
  const { precision, signal, note } = options;
  const source = await openSource(name, options.randomWeights);
  try {
    const image = await imageBytes(options.image, source.size);
    const open = (more: LoadOptions): Promise<InstanceSegmenter> =>
      load(source.file, { ...options.load, ...more, signal });

    note?.('computing the expected result');
    const onCpu = options.load.device === 'cpu';
    const oracle = await open({ device: 'cpu', ...(onCpu ? { isa: 'baseline' } : { isa: undefined }) });
    const expected = await oracle.segment(image.bytes, { signal });
    await oracle.dispose();
    const rssKnown = resetPeakRss();

    note?.('loading');
    const loading = performance.now();
    const model = await open({ precision });
    const loadMs = performance.now() - loading;
    try {
      const starting = performance.now();
      const first = await model.segment(image.bytes, { signal, profile: true });
      const firstMs = performance.now() - starting;
      const against = onCpu ? 'the kernels of the baseline instruction set' : 'the CPU';
      const check = compareResults(first, expected, precision, against);
      if (!check.right) {
        throw new InstasegError(
          'ERR_WRONG_RESULT',
          `${name}: ${check.matched} of ${check.expected} detections (and ${check.found} found) agree with ${against}; ` +
            'it is not timed',
        );
      }
      note?.('timing');
      const once = async (): Promise<number> => {
        const started = performance.now();
        await model.segment(image.bytes, { signal });
        return performance.now() - started;
      };
      const endToEnd = await sample(once, options, signal);
      const rss = rssKnown ? peakRss() : null;
      const profiles = await profileRuns(model, image.bytes, signal);
      model.trim();
      const anew = await model.segment(image.bytes, { signal, profile: true });
      return {
        model: options.randomWeights ? name : parse(name).name,
        weights: source.weights,
        precision,
        image: { name: image.name, width: first.width, height: first.height },
        check,
        detections: first.instances.length,
        loadMs,
        firstMs,
        compileMs: anew.profile!.plan,
        endToEnd,
        ...summarizeProfiles(profiles, ceilings, precision),
        peakRss: rss,
        peakDevice: model.memoryStats().peak,
      };
    } finally {
      await model.dispose();
    }
  } finally {
    source.remove();
  }
}

interface ProfiledRun {
  readonly profile: SegmentProfile;
  readonly json: number;
}

async function profileRuns(
  model: InstanceSegmenter,
  image: ImageInput,
  signal: AbortSignal | undefined,
): Promise<ProfiledRun[]> {
  const runs: ProfiledRun[] = [];
  for (let i = 0; i < PROFILED_RUNS; i += 1) {
    const result = await model.segment(image, { signal, profile: true });
    const started = performance.now();
    JSON.stringify(result);
    runs.push({ profile: result.profile!, json: performance.now() - started });
  }
  return runs;
}

const kernelTime = ({ profile }: ProfiledRun): number =>
  profile.run.steps.reduce((sum, { milliseconds }) => sum + milliseconds, 0);

/** What each stage took in one run. */
export function stagesOf(run: ProfiledRun): Record<Stage, number> {
  const { profile, json } = run;
  const { inputs, queued, running, total } = profile.run;
  const kernels = kernelTime(run);
  return {
    decode: profile.decode,
    plan: profile.plan,
    inputs,
    queue: queued,
    kernels,
    around: Math.max(0, running - kernels),
    delivery: Math.max(0, total - inputs - queued - running),
    instances: profile.instances,
    json,
  };
}

function summarizeProfiles(
  runs: readonly ProfiledRun[],
  ceilings: Ceilings,
  precision: OpPrecision,
): Pick<ModelRow, 'stages' | 'outsideKernels' | 'gflop' | 'gflops' | 'percentOfArithmetic' | 'layers'> {
  const each = runs.map(stagesOf);
  const stages = Object.fromEntries(
    STAGES.map((stage) => [stage, median(each.map((found) => found[stage]))]),
  ) as Record<Stage, number>;
  const all = Object.values(stages).reduce((sum, time) => sum + time, 0);
  const plain = precision === 'f32';
  const layers = runs[0]!.profile.run.steps.map(
    ({ label, op, variant, counted, output, flops, bytes }, i): LayerRow => {
      const milliseconds = median(runs.map(({ profile }) => profile.run.steps[i]!.milliseconds));
      const rate = (amount: number): number => (milliseconds > 0 ? amount / milliseconds / 1e6 : 0);
      return {
        layer: label ?? null,
        op,
        variant,
        output,
        counted,
        flops,
        bytes,
        milliseconds,
        percentOfArithmetic: plain && flops > 0 && !counted ? (100 * rate(flops)) / ceilings.gflops : null,
        percentOfBandwidth: counted ? null : (100 * rate(bytes)) / ceilings.gbps,
        bound: flops / ceilings.gflops > bytes / ceilings.gbps ? 'compute' : 'memory',
      };
    },
  );
  const known = layers.filter(({ counted, flops }) => !counted && flops > 0);
  const gflop = known.reduce((sum, { flops }) => sum + flops, 0) / 1e9;
  const gflops = (1000 * gflop) / known.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return {
    stages,
    outsideKernels: (all - stages.kernels) / all,
    gflop,
    gflops,
    percentOfArithmetic: plain ? (100 * gflops) / ceilings.gflops : null,
    layers,
  };
}

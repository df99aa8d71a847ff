/** Every stage of a Mask R-CNN against the reference: free-running up to the proposals, then from stored decisions on. */
import { ops, reshape, Tensor, type Device } from '../../src/index.js';
import { detectron2Anchors } from '../../src/models/detectron2-selection.js';
import type { SegmentBatchOptions } from '../../src/models/options.js';
import type { Detectron2Config, MaskRcnnConfig } from '../../src/weights/families/config.js';
import type { InstanceSegmenter } from '../../src/models/segmenter.js';
import { levelAnchors } from '../../src/nn/rpn.js';
import type { GoldenTensor, GoldenTensors, ModelFile, Sample } from './case-files.js';
import { compareShapes, compareValues, failed, worstOf, type Comparison } from './compare.js';
import { sampleOf, toNchw } from './layout.js';
import { pasteSoft } from './pasted-masks.js';

/** One stage of a case. */
export interface StageResult extends Comparison {
  readonly stage: string;
}

/**
 * What features may differ by, relative to the largest value of the tensor: fast convolution algorithms (Winograd) round
 * more than PyTorch's own releases differ from each other (5e-6).
 */
export const FEATURE_TOLERANCE = 2e-4;
/** For values per region, which follow the coordinates of the boxes; where the case says nothing. */
const REGION_TOLERANCE = 3e-4;
/** Scores of proposals, which follow the objectness logits. */
const SCORE_TOLERANCE = 1e-3;
/** Share of the proposals that may be others: decisions between neighbours closer than rounding noise. */
const UNDECIDED_SHARE = 0.005;
/** Anchors are small integers and halves; PyTorch's are rounded once. */
const ANCHOR_TOLERANCE = 1e-4;
/** As paste_masks among the op cases. */
const PASTE_TOLERANCE = { rtol: 1e-5, atol: 2e-5 };

const PER_REGION = ['box_roi_pool', 'box_head', 'mask_roi_pool', 'mask_head', 'mask_logits_all_classes'] as const;

export function absmax(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i += 1) largest = Math.max(largest, Math.abs(values[i]!));
  return largest;
}

/** A difference in parts of `scale`. */
export function relative(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  scale: number,
  allowed: number,
): Comparison {
  const result = compareValues(actual, expected, { rtol: 0, atol: allowed * scale });
  return { ...result, difference: scale === 0 ? result.difference : result.difference / scale, allowed };
}

interface StageContext {
  readonly file: ModelFile;
  readonly tensors: GoldenTensors;
  readonly seen: ReadonlyMap<string, Tensor>;
  readonly device: Device;
}

function golden({ tensors }: StageContext, name: string): GoldenTensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the case has no tensor "${name}"`);
  return tensor;
}

function seen({ seen: tensors }: StageContext, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the model has no stage "${name}"`);
  return tensor;
}

function tolerance({ file }: StageContext, name: string, fallback: number): number {
  const value = file.tolerances[name];
  return typeof value === 'number' ? value : fallback;
}

/** Where row r of the reference (rows of all images one after another) is in our tensor of fixed capacity an image. */
function rowMap(tensor: Tensor, counts: readonly number[]): (row: number) => number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  // Every row is used, or those that are not were left out when the result was read back.
  if (tensor.shape[0] === total) return (row) => row;
  const capacity = tensor.shape[0]! / counts.length;
  const places = counts.flatMap((count, image) => Array.from({ length: count }, (_, i) => image * capacity + i));
  return (row) => places[row]!;
}

function pickRows(tensor: Tensor, counts: readonly number[]): Float32Array {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const perRow = tensor.length / Math.max(tensor.shape[0]!, 1);
  const at = rowMap(tensor, counts);
  const data = new Float32Array(total * perRow);
  for (let r = 0; r < total; r += 1) {
    data.set(tensor.data.subarray(at(r) * perRow, (at(r) + 1) * perRow), r * perRow);
  }
  return data;
}

function sampled(context: StageContext, name: string, allowed: number, counts?: readonly number[]): StageResult {
  const sample = context.file.samples[name] as Sample;
  const tensor = seen(context, name);
  const expected = golden(context, `${name}.sample`).data;
  if (!counts) {
    const [n, h, w, c] = tensor.shape as [number, number, number, number];
    const wrong = compareShapes([n, c, h, w], sample.shape);
    if (wrong) return { stage: name, ...wrong };
  }
  const actual = sampleOf(tensor, sample.shape, sample.step, counts && rowMap(tensor, counts));
  return { stage: name, ...relative(actual, expected, sample.absmax, allowed) };
}

/**
 * Feature maps and the raw predictions of the region proposal network, whole where the reference has them whole. Exact
 * convolution kernels hold the case's own, closer tolerance too; whether it holds is said and does not fail.
 */
function features(context: StageContext): StageResult[] {
  const names = Object.keys(context.file.samples).filter((name) =>
    /^(image|body|fpn|rpn\.(objectness|deltas))/.test(name),
  );
  const results = names.flatMap((name) => {
    const stages = [sampled(context, name, FEATURE_TOLERANCE)];
    const full = context.tensors.get(name);
    if (full) {
      const actual = toNchw(seen(context, name));
      const scale = absmax(full.data);
      stages.push({ stage: `${name} (all)`, ...relative(actual.data, full.data, scale, FEATURE_TOLERANCE) });
    }
    return stages;
  });
  const worst = worstOf(results);
  const own = tolerance(context, 'features_relative_to_absmax', 2e-5);
  const note = `all of the above; the case's own ${own.toExponential()} ${worst.difference <= own ? 'holds' : 'is exceeded'}`;
  return [...results, { ...worst, stage: 'features', note }];
}

/** The configuration of the family whose stages these are. */
function configOf(model: InstanceSegmenter): MaskRcnnConfig | Detectron2Config {
  if (model.config.family === 'yolact') throw new Error(`${model.config.model} is no Mask R-CNN`);
  return model.config;
}

async function anchors(context: StageContext, model: InstanceSegmenter): Promise<StageResult[]> {
  const sample = context.file.samples['rpn.anchors'];
  if (!sample) return [];
  const [, , height, width] = context.file.batch_shape as [number, number, number, number];
  const config = configOf(model);
  const grids = config.anchors.sizes.map((_, level) => seen(context, `rpn.objectness.${level}`).shape);
  const all = await context.device.run(() =>
    ops.concat(
      grids.map((shape, level) => {
        const objectness = reshape(Tensor.zeros(shape), shape);
        return config.family === 'torchvision'
          ? levelAnchors(objectness, level, [height, width], config.anchors)
          : detectron2Anchors(objectness, level, config.anchors);
      }),
      { axis: 0 },
    ),
  );
  const wrong = compareShapes(all.shape, sample.shape);
  const actual = sampleOf(all, sample.shape, sample.step);
  const expected = golden(context, 'rpn.anchors.sample').data;
  return [{ stage: 'rpn.anchors', ...(wrong ?? compareValues(actual, expected, { rtol: 0, atol: ANCHOR_TOLERANCE })) }];
}

/** The nearest of ours for each stored proposal, as the order of close neighbours is not decided. */
function proposals(context: StageContext, image: number): StageResult[] {
  const stage = `proposals.${image}`;
  const expected = golden(context, stage);
  const expectedScores = golden(context, `proposal_scores.${image}`).data;
  const images = context.file.proposals.length;
  const count = seen(context, 'proposal_counts').data[image]!;
  const boxes = seen(context, 'proposals');
  const scores = seen(context, 'proposal_scores').data;
  const capacity = boxes.length / 4 / images;
  const n = expected.shape[0]!;
  if (count !== n) return [{ stage, ...failed(`there are ${count} proposals, expected ${n}`) }];

  const pixels = tolerance(context, 'proposals_abs_px', 0.02);
  let [unmatched, worstBox, worstScore] = [0, 0, 0];
  for (let i = 0; i < n; i += 1) {
    const best = { distance: Infinity, apart: Infinity };
    for (let k = 0; k < n; k += 1) {
      const row = image * capacity + k;
      let distance = 0;
      for (let side = 0; side < 4; side += 1) {
        distance = Math.max(distance, Math.abs(boxes.data[row * 4 + side]! - expected.data[i * 4 + side]!));
      }
      // Boxes that fill the image come from several levels: the score tells them apart.
      const apart = Math.abs(scores[row]! - expectedScores[i]!);
      if (distance < best.distance || (distance === best.distance && apart < best.apart)) {
        Object.assign(best, { distance, apart });
      }
    }
    if (best.distance <= pixels) {
      worstBox = Math.max(worstBox, best.distance);
      worstScore = Math.max(worstScore, best.apart);
    } else unmatched += 1;
  }
  const allowed = Math.floor(UNDECIDED_SHARE * n);
  const close = context.file.margins?.[image]?.rpn?.nms_pairs_within_2e_4;
  return [
    {
      stage,
      difference: worstBox,
      allowed: pixels,
      ok: unmatched <= allowed,
      note:
        `${n - unmatched} of ${n} are there, at least ${n - allowed} have to be` +
        (close === undefined ? '' : `; ${close} pairs are undecided`),
    },
    {
      stage: `proposal_scores.${image}`,
      difference: worstScore,
      allowed: SCORE_TOLERANCE,
      ok: worstScore <= SCORE_TOLERANCE,
    },
  ];
}

/** What the heads compute for the stored proposals and detections. */
function regions(context: StageContext): StageResult[] {
  const { file } = context;
  const allowed = tolerance(context, 'per_roi_relative_to_absmax', REGION_TOLERANCE);
  const results: StageResult[] = PER_REGION.filter((name) => file.samples[name]).map((name) =>
    sampled(context, name, allowed, name.startsWith('box') ? file.proposals : file.detections),
  );
  for (const name of ['box_logits', 'box_deltas']) {
    const expected = golden(context, name).data;
    const actual = pickRows(seen(context, name), file.proposals);
    results.push({ stage: name, ...relative(actual, expected, absmax(expected), allowed) });
  }
  const logits = seen(context, 'mask_logits_all_classes');
  const probabilities = pickRows(seen(context, 'mask_probs'), file.detections);
  const at = rowMap(logits, file.detections);
  const [, , , classes] = logits.shape as [number, number, number, number];
  const pixels = logits.shape[1]! * logits.shape[2]!;
  let first = 0;
  file.detections.forEach((count, image) => {
    const expected = golden(context, `mask_logits.${image}`).data;
    const labels = file.labels[image]!;
    const actual = Float32Array.from({ length: count * pixels }, (_, i) => {
      const row = Math.floor(i / pixels);
      return logits.data[(at(first + row) * pixels + (i % pixels)) * classes + labels[row]!]!;
    });
    const scale = file.samples['mask_logits_all_classes']?.absmax ?? absmax(expected);
    results.push({ stage: `mask_logits.${image}`, ...relative(actual, expected, scale, allowed) });
    const mine = probabilities.subarray(first * pixels, (first + count) * pixels);
    const theirs = golden(context, `mask_probs.${image}`).data;
    const atol = tolerance(context, 'mask_prob_abs', 1e-3);
    results.push({ stage: `mask_probs.${image}`, ...compareValues(mine, theirs, { rtol: 0, atol }) });
    first += count;
  });
  return results;
}

/** The stored probabilities pasted into the stored boxes. */
async function pasted(context: StageContext, model: InstanceSegmenter, image: number): Promise<StageResult[]> {
  const stage = `masks_pasted.${image}`;
  const sample = context.file.samples[stage];
  if (!sample || context.file.detections[image] === 0) return [];
  const probabilities = golden(context, `mask_probs.${image}`);
  const boxes = golden(context, `boxes.${image}`);
  const whole = await pasteSoft(
    context.device,
    configOf(model).mask.paste,
    Tensor.from(probabilities.data, [1, ...probabilities.shape]),
    Tensor.from(boxes.data, [1, ...boxes.shape]),
    context.file.image_shapes[image]!,
  );
  const actual = sampleOf(Tensor.from(whole, sample.shape), sample.shape, sample.step);
  return [{ stage, ...compareValues(actual, golden(context, `${stage}.sample`).data, PASTE_TOLERANCE) }];
}

/** Tensors of each image with rows of a common capacity: [N, R, ...], the unused rows 0. */
function stack(tensors: readonly GoldenTensor[], Data: typeof Float32Array | typeof Int32Array): Tensor {
  const rest = tensors[0]!.shape.slice(1);
  const perRow = rest.reduce((product, dim) => product * dim, 1);
  const capacity = Math.max(1, ...tensors.map(({ shape }) => shape[0]!));
  const data = new Data(tensors.length * capacity * perRow);
  tensors.forEach((tensor, i) => data.set(tensor.data, i * capacity * perRow));
  return Tensor.from(data, [tensors.length, capacity, ...rest]);
}

function perImage(context: Omit<StageContext, 'seen'>, name: string): GoldenTensor[] {
  return context.file.images.map((_, image) => golden({ ...context, seen: new Map() }, `${name}.${image}`));
}

/** Runs a model case stage by stage. */
export async function compareStages(
  model: InstanceSegmenter,
  device: Device,
  file: ModelFile,
  tensors: GoldenTensors,
  images: readonly string[],
  call: SegmentBatchOptions,
): Promise<StageResult[]> {
  const given = { file, tensors, device };
  const stages = [
    ...Object.keys(file.samples).filter((name) => !/^(rpn\.anchors|masks_pasted)/.test(name)),
    ...['proposals', 'proposal_scores', 'proposal_counts', 'box_logits', 'box_deltas', 'mask_probs'],
  ];
  const probe = {
    proposals: {
      boxes: stack(perImage(given, 'proposals'), Float32Array),
      counts: Tensor.from(Int32Array.from(file.proposals)),
    },
    detections: {
      boxes: stack(perImage(given, 'boxes_transformed'), Float32Array),
      labels: stack(perImage(given, 'labels'), Int32Array),
      counts: Tensor.from(Int32Array.from(file.detections)),
    },
  };
  const context = { ...given, seen: await model.inspect(images, stages, { ...call, probe }) };
  const each = file.images.map((_, image) => image);
  return [
    ...features(context),
    ...(await anchors(context, model)),
    ...each.flatMap((image) => proposals(context, image)),
    ...regions(context),
    ...(await Promise.all(each.map((image) => pasted(context, model, image)))).flat(),
  ];
}

/** Every stage of a YOLACT against the reference, free-running. */
import { ops, Tensor, type Device } from '../../src/index.js';
import type { SegmentOptions } from '../../src/models/options.js';
import type { InstanceSegmenter } from '../../src/models/segmenter.js';
import type { GoldenTensor, GoldenTensors, YolactFile, YolactMargins } from './case-files.js';
import { compareShapes, compareValues, failed, worstOf, type Comparison } from './compare.js';
import { ORDER_GAP, SCORE } from './end-to-end.js';
import { sampleOf } from './layout.js';
import { absmax, FEATURE_TOLERANCE, relative, type StageResult } from './model-stages.js';
import { oneImage } from './rows.js';

/** Of relative boxes, and of how far they reach beyond the image: what 0.05 pixels are in an image of 500. */
const BOX_TOLERANCE = 1e-4;
const MASK_IOU_TOLERANCE = 1e-3;
const PROBABILITY_TOLERANCE = 1e-3;
/** Decisions by less than this may be others; those before the score threshold are not guarded. */
const SAFE = { nms_iou_margin: 1e-3, nms_pair_score_gap: 5e-4, topk_gap: 5e-4 };

interface Context {
  readonly file: YolactFile;
  readonly tensors: GoldenTensors;
  readonly seen: ReadonlyMap<string, Tensor>;
}

function golden({ tensors }: Context, name: string): GoldenTensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the case has no tensor "${name}"`);
  return tensor;
}

function seen({ seen: tensors }: Context, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the model has no stage "${name}"`);
  return tensor;
}

/** Prototypes are [1, H, W, K] in both; the other tensors of four dimensions are NCHW in the reference. */
function isImage(name: string, shape: readonly number[]): boolean {
  return shape.length === 4 && name !== 'proto';
}

function sampled(context: Context, name: string): StageResult {
  const { shape, step, absmax: scale } = context.file.samples[name]!;
  const tensor = seen(context, name);
  const expected = golden(context, `${name}.sample`).data;
  const [n, h, w, c] = tensor.shape as [number, number, number, number];
  const wrong = compareShapes(isImage(name, shape) ? [n, c, h, w] : tensor.shape, shape);
  if (wrong) return { stage: name, ...wrong };
  // A matrix of one column has one layout only.
  const flat = Tensor.from(tensor.data, [tensor.length, 1]);
  const actual = isImage(name, shape) ? sampleOf(tensor, shape, step) : sampleOf(flat, flat.shape, step);
  return { stage: name, ...relative(actual, expected, scale, FEATURE_TOLERANCE) };
}

/** Samples of all stages, and prototypes and the rows of the candidates whole. */
function features(context: Context, names: readonly string[]): StageResult[] {
  const { file, tensors } = context;
  const results = names.map((name) => sampled(context, name));
  const whole = tensors.get('proto');
  if (whole) {
    const values = relative(seen(context, 'proto').data, whole.data, absmax(whole.data), FEATURE_TOLERANCE);
    results.push({ stage: 'proto (all)', ...values });
  }
  const rows = golden(context, 'cand.index').data;
  for (const [name, stage] of Object.entries({ loc: 'loc', conf: 'conf', mask: 'mask', prior: 'priors' })) {
    const expected = golden(context, `cand.${name}`);
    const actual = seen(context, stage);
    const width = actual.shape.at(-1)!;
    const picked = Array.from(
      { length: rows.length * width },
      (_, i) => actual.data[rows[Math.floor(i / width)]! * width + (i % width)]!,
    );
    const wrong = compareShapes([rows.length, width], expected.shape);
    const scale = file.samples[stage]!.absmax;
    results.push({
      stage: `cand.${name}`,
      ...(wrong ?? relative(picked, expected.data, scale, FEATURE_TOLERANCE)),
    });
  }
  const own = file.tolerances['features_relative_to_absmax'];
  const worst = worstOf(results);
  if (typeof own !== 'number') return results;
  const note = `all of the above; the case's own ${own.toExponential()} ${worst.difference <= own ? 'holds' : 'is exceeded'}`;
  return [...results, { ...worst, stage: 'features', note }];
}

function isSafe(margins: YolactMargins): boolean {
  return Object.entries(SAFE).every(([name, gap]) => (margins[name as keyof YolactMargins] ?? Infinity) >= gap);
}

/**
 * Detections before the score threshold. Those above it have to be the same ones; the ones after them only where no
 * decision was close.
 */
function rawDetections(context: Context): StageResult[] {
  const { file } = context;
  const safe = isSafe(file.margins.raw_margins);
  const [labels, scores, boxes] = ['raw.class', 'raw.score', 'raw.box'].map((name) => golden(context, name).data) as [
    GoldenTensor['data'],
    GoldenTensor['data'],
    GoldenTensor['data'],
  ];
  const [mine, myScores, myBoxes] = ['labels', 'scores', 'boxes_relative'].map((name) => seen(context, name).data) as [
    Tensor['data'],
    Tensor['data'],
    Tensor['data'],
  ];
  const stage = 'raw';
  const count = safe ? file.raw_detections : file.detections;
  if (scores.length !== file.raw_detections || (safe ? myScores.length !== count : myScores.length < count)) {
    return [{ stage, ...failed(`there are ${myScores.length} detections, expected ${file.raw_detections}`) }];
  }
  const distance = (row: number, theirs: number): number =>
    Math.max(
      ...[theirs * 4, theirs * 4 + 1, theirs * 4 + 2, theirs * 4 + 3].map(
        (at, side) => Math.abs(myBoxes[row * 4 + side]! - boxes[at]!) / Math.max(1, Math.abs(boxes[at]!)),
      ),
    );
  const free = new Set(Array.from(myScores, (_, row) => row));
  const worst = { score: 0, box: 0 };
  for (let i = 0; i < count; i += 1) {
    const [found] = [...free]
      .filter((row) => mine[row] === labels[i] && (row === i || Math.abs((scores[row] ?? 0) - scores[i]!) < ORDER_GAP))
      .sort((a, b) => distance(a, i) - distance(b, i));
    if (found === undefined)
      return [{ stage, ...failed(`detection ${i} has class ${mine[i]}, expected ${labels[i]}`) }];
    free.delete(found);
    worst.score = Math.max(worst.score, Math.abs(myScores[found]! - scores[i]!));
    worst.box = Math.max(worst.box, distance(found, i));
  }
  const note = safe ? `${count}` : `${count} of ${file.raw_detections}, the others were decided too closely`;
  return [
    { stage: 'raw.score', difference: worst.score, allowed: SCORE, ok: worst.score <= SCORE, note },
    { stage: 'raw.box', difference: worst.box, allowed: BOX_TOLERANCE, ok: worst.box <= BOX_TOLERANCE, note },
  ];
}

/** Detection `row` after the score threshold, of the reference's tensors. */
function kept({ data, shape }: GoldenTensor, count: number): GoldenTensor {
  const perRow = shape.slice(1).reduce((product, dim) => product * dim, 1);
  return { shape: [count, ...shape.slice(1)], data: data.slice(0, count * perRow) };
}

/** Our prototypes with the stored coefficients and boxes, enlarged to the image. */
async function softMasks(context: Context, device: Device): Promise<StageResult[]> {
  const { file } = context;
  const stage = 'post.mask_soft';
  const sample = file.samples[stage];
  if (!sample) return [];
  const [height, width] = file.image_shapes[0];
  const count = file.detections;
  const [coefficients, boxes] = ['raw.mask', 'raw.box'].map((name) => oneImage(kept(golden(context, name), count)));
  const sizes = Tensor.from(Int32Array.of(height, width, height, width), [1, 4]);
  const prototypes = seen(context, 'proto');
  const { regions, offsets, values } = await device.run(() =>
    ops.upsampleSoftMasks(ops.assembleMasks(prototypes, coefficients!, boxes!), sizes),
  );
  const at = (mask: number, row: number, column: number): number => {
    const [x, y, w, h] = regions.data.subarray(mask * 4, mask * 4 + 4) as unknown as [number, number, number, number];
    const [r, k] = [row - y, column - x];
    return r < 0 || k < 0 || r >= h || k >= w ? 0 : values.data[offsets.data[mask]! + r * w + k]!;
  };
  const expected = golden(context, `${stage}.sample`).data;
  const wrong = compareShapes([count, height, width], sample.shape);
  const pixels = height * width;
  const actual = Array.from(expected, (_, i) => {
    const [mask, pixel] = [Math.floor((i * sample.step) / pixels), (i * sample.step) % pixels];
    return at(mask, Math.floor(pixel / width), pixel % width);
  });
  return [{ stage, ...(wrong ?? compareValues(actual, expected, { rtol: 0, atol: PROBABILITY_TOLERANCE })) }];
}

/** The predicted IoU of the masks that are above the score threshold. */
function maskIou(context: Context): StageResult[] {
  if (!context.tensors.has('post.maskiou')) return [];
  const expected = golden(context, 'post.maskiou').data;
  const actual = seen(context, 'maskiou').data.subarray(0, expected.length);
  const result: Comparison = compareValues(actual, expected, { rtol: 0, atol: MASK_IOU_TOLERANCE });
  return [{ stage: 'post.maskiou', ...result }];
}

/** Runs a case stage by stage. */
export async function compareYolactStages(
  model: InstanceSegmenter,
  device: Device,
  file: YolactFile,
  tensors: GoldenTensors,
  image: string,
  call: SegmentOptions,
): Promise<StageResult[]> {
  const names = Object.keys(file.samples).filter((name) => name !== 'post.mask_soft');
  const results = ['labels', 'scores', 'boxes_relative', 'maskiou'];
  // Without the score threshold, to see all detections.
  const stages = await model.inspect([image], [...names, ...results], { ...call, scoreThreshold: 0 });
  const context = { file, tensors, seen: stages };
  return [
    ...features(context, names),
    ...rawDetections(context),
    ...maskIou(context),
    ...(await softMasks(context, device)),
  ];
}

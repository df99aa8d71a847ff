/** How YOLACT's own functions run through instaseg's ops. */
import { ops, Tensor } from '../../src/index.js';
import type { GoldenTensor } from './case-files.js';
import { compareValues, type Tolerance } from './compare.js';
import type { OpCase } from './op-case.js';
import { oneImage, ofOneImage, pickRows } from './rows.js';

type RunOp = (c: OpCase) => Promise<void>;

const EXACT: Tolerance = { rtol: 0, atol: 0 };

const decode: RunOp = async (c) => {
  const [loc, priors] = [oneImage(c.golden('loc')), c.input('priors')];
  const variances = c.params.two('variances');
  c.compare('output', ofOneImage(await c.run(() => ops.decodePriors(loc, priors, { variances }))));
};

const jaccard: RunOp = async (c) => {
  const [a, b] = [c.input('a'), c.input('b')];
  c.compare('output', await c.run(() => ops.boxIou(a, b)));
};

/** Said of sub-cases whose input is not in the case. */
const OVERWRITTEN = 'the case has the result in the place of the input';

/**
 * A relative coordinate pair that has to give the stored result, where the case does not have its own: the result without
 * the padding. One that is inside out was clamped, so both ends were beyond the size, or below 0.
 */
function unsanitized(low: number, high: number, size: number, padding: number): [number, number] {
  const ends: [number, number] = [low + padding, high - padding];
  if (ends[1] < ends[0]) ends.fill(high === size ? ends[0] : ends[1]);
  return ends;
}

/** One pair of coordinates after the other as the horizontal sides of boxes of one image. */
function sides(c: OpCase, size: number, padding: number, half: number): Tensor {
  const [x1, x2] = [c.golden('x1').data, c.golden('x2').data];
  const overwritten = c.isOverwritten('x1') && c.isOverwritten('x2');
  if (overwritten) c.note = OVERWRITTEN;
  const data = Array.from(x1, (low, i) => {
    const pair = [low, x2[i]!] as const;
    if (!overwritten) return pair;
    // Truncation is toward zero.
    return unsanitized(...pair, size, padding).map((end) => (end + Math.sign(end) * half) / size);
  }).flatMap(([left, right]) => [left, 0, right, 1]);
  return Tensor.from(Float32Array.from(data), [1, x1.length, 4]);
}

/**
 * With a cast it is yolactBoxes. The variant without has no op of its own: it is what crops masks, so a box has to hold
 * exactly the cells from x1 on and before x2 of a mask as wide as the image.
 */
const sanitizeCoordinates: RunOp = async (c) => {
  const [size, padding, cast] = [c.params.number('size'), c.params.number('padding'), c.params.flag('cast')];
  const boxes = sides(c, size, padding, cast ? 0.5 : 0);
  const [x1, x2] = [c.expected('x1'), c.expected('x2')];
  const count = x1.data.length;
  if (cast) {
    const sizes = Tensor.from(Int32Array.of(1, size, 1, size), [1, 4]);
    const { data } = await c.run(() => ops.yolactBoxes(boxes, sizes, { padding }));
    const side = (at: number): GoldenTensor => ({
      shape: [count],
      data: Int32Array.from({ length: count }, (_, i) => data[i * 4 + at]!),
    });
    c.compare('x1', side(0), EXACT);
    c.compare('x2', side(2), EXACT);
    return;
  }
  const [cells, coefficients] = [Tensor.zeros([1, 1, size, 1]), Tensor.zeros([1, count, 1])];
  const inside = await c.run(() => ops.assembleMasks(cells, coefficients, boxes, { padding }));
  const expected = Array.from(inside.data, (_, i) => {
    const [row, cell] = [Math.floor(i / size), i % size];
    return cell >= x1.data[row]! && cell < x2.data[row]! ? 0.5 : 0; // sigmoid(0)
  });
  c.comparisons.push(compareValues(inside.data, expected, EXACT));
};

/** [h, w, masks] of the reference out of our [masks, h, w, 1]. */
function masksLast({ data, shape }: Tensor): GoldenTensor {
  const [count, height, width] = shape as [number, number, number];
  const cells = height * width;
  const values = Float32Array.from(
    { length: data.length },
    (_, i) => data[(i % count) * cells + Math.floor(i / count)]!,
  );
  return { shape: [height, width, count], data: values };
}

/** Prototypes of 0 give masks of 1/2 inside: twice that selects from the masks. */
const crop: RunOp = async (c) => {
  const [masks, boxes] = [c.golden('masks'), oneImage(c.golden('boxes'))];
  const [height, width, count] = masks.shape as [number, number, number];
  const padding = c.params.number('padding');
  const [cells, coefficients] = [Tensor.zeros([1, height, width, 1]), Tensor.zeros([1, count, 1])];
  const inside = masksLast(await c.run(() => ops.assembleMasks(cells, coefficients, boxes, { padding })));
  const data = Float32Array.from(inside.data, (value, i) => 2 * value * masks.data[i]!);
  c.compare('output', { shape: inside.shape, data });
};

/** Boxes beyond the image crop nothing. */
const linearCombination: RunOp = async (c) => {
  const [prototypes, coefficients] = [oneImage(c.golden('proto')), oneImage(c.golden('coef'))];
  const count = coefficients.shape[1]!;
  const everywhere = Array.from({ length: count }, () => [-1, -1, 2, 2]).flat();
  const boxes = Tensor.from(Float32Array.from(everywhere), [1, count, 4]);
  c.compare('output', masksLast(await c.run(() => ops.assembleMasks(prototypes, coefficients, boxes))));
};

/** Scores of candidates [K, C]; the reference has [C, K]. */
function candidateScores(c: OpCase): Tensor {
  const scores = c.golden('scores');
  if (!c.isOverwritten('scores')) {
    const [classes, count] = scores.shape as [number, number];
    const data = Float32Array.from(
      { length: scores.data.length },
      (_, i) => scores.data[(i % classes) * count + Math.floor(i / classes)]!,
    );
    return Tensor.from(data, [1, count, classes]);
  }
  // What was kept has to be kept again: every detection as a candidate of its class alone.
  c.note = `${OVERWRITTEN}: it has to stay as it is`;
  const labels = c.expected('classes').data;
  const classes = Math.max(...labels) + 1;
  const data = new Float32Array(labels.length * classes).fill(-1); // below the threshold of `detect`
  labels.forEach((label, i) => (data[i * classes + label] = scores.data[i]!));
  return Tensor.from(data, [1, labels.length, classes]);
}

interface Kind {
  readonly kind: 'fast' | 'cross-class' | 'traditional';
  readonly topK?: number;
  readonly maxSize?: number;
  readonly scoreThreshold?: number;
}

const detect =
  (kindOf: (c: OpCase) => Kind): RunOp =>
  async (c) => {
    const options = {
      ...(c.isOverwritten('scores') && { scoreThreshold: 0 }),
      ...kindOf(c),
      iouThreshold: c.params.number('iou_threshold'),
      maxOutput: c.params.number('max_num_detections'),
    };
    const [boxes, masks] = [oneImage(c.golden('boxes')), c.input('masks')];
    const scores = candidateScores(c);
    const found = await c.run(() => ops.fastNms(boxes, scores, options));
    const rows = [...found.indices.data];
    c.compare('boxes', pickRows(ofOneImage(boxes), rows));
    c.compare('masks', pickRows(masks, rows), EXACT);
    c.compare('classes', ofOneImage(found.classes), EXACT);
    c.compare('scores', ofOneImage(found.scores), EXACT);
  };

const topK = (c: OpCase): number => c.params.number('top_k');

const makePriors: RunOp = async (c) => {
  const ratios = c.params.any('ratios') as number[][];
  if (ratios.length !== 1) throw new Error('ratios are given for one level');
  const options = {
    grid: c.params.pair('grid'),
    maxSize: c.params.number('max_size'),
    scales: c.params.any('scales') as number[],
    ratios: ratios[0]!,
    square: c.params.flag('use_square_anchors'),
  };
  const all = await c.run(() => ops.priors(options));
  c.comparisons.push(compareValues([all.shape[0]!], [c.params.number('total')], EXACT));
  const step = c.params.number('step');
  c.compare(
    'every',
    pickRows(
      all,
      Array.from({ length: Math.ceil(all.shape[0]! / step) }, (_, i) => i * step),
    ),
  );
};

/** The preprocessing of the ResNets: BGR pixels in, RGB out; ours is given RGB. */
const transform: RunOp = async (c) => {
  const { data, shape } = c.golden('bgr');
  const [images, height, width] = shape as [number, number, number];
  if (images !== 1) throw new Error('one image is transformed');
  const size = c.params.number('max_size');
  const rgb = data.map((_, i) => data[i - (i % 3) + 2 - (i % 3)]!);
  const image = Tensor.from(rgb, [height, width, 3]);
  const sizes = Tensor.from(Int32Array.of(height, width, size, size), [1, 4]);
  const output = await c.run(() =>
    ops.preprocess([image], sizes, {
      height: size,
      width: size,
      mean: [103.94, 116.78, 123.68],
      std: [57.38, 57.12, 58.4],
      scale: 1,
      order: 'resizeFirst',
      swapInput: true,
      swapOutput: true,
    }),
  );
  c.compareImage('output', output);
};

const FUNCTIONS: Readonly<Record<string, RunOp>> = {
  decode,
  jaccard,
  sanitize_coordinates: sanitizeCoordinates,
  crop,
  'sigmoid(proto @ coef^T)': linearCombination,
  'Detect.fast_nms': detect((c) => ({ kind: 'fast', topK: topK(c) })),
  'Detect.cc_fast_nms': detect((c) => ({ kind: 'cross-class', topK: topK(c) })),
  'Detect.traditional_nms': detect((c) => ({
    kind: 'traditional',
    maxSize: c.params.number('max_size'),
    scoreThreshold: c.params.number('conf_thresh'),
  })),
  make_priors: makePriors,
  FastBaseTransform: transform,
};

/** One sub-case of the family `yolact`, of the function that it names. */
export const yolact: RunOp = async (c) => {
  const name = c.params.any('fn');
  const run = typeof name === 'string' && Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (!run) throw new Error(`unknown function "${String(name)}"`);
  await run(c);
};

/** How each operator family of the reference data runs through instaseg's ops. */
import { ops, Tensor, type SymbolicTensor } from '../../src/index.js';
import { baseAnchors } from '../../src/nn/anchors.js';
import type { Pair } from '../../src/ops/options.js';
import type { GoldenTensor } from './case-files.js';
import { compareValues, type Tolerance } from './compare.js';
import type { OpCase } from './op-case.js';
import { comparePastedMasks } from './pasted-masks.js';
import { oneImage, ofOneImage, pickRows } from './rows.js';
import { yolact } from './yolact-ops.js';

type RunOp = (c: OpCase) => Promise<void>;

const EXACT: Tolerance = { rtol: 0, atol: 0 };

/** An optional number: JSON's null is PyTorch's None. */
function optional<T>(value: T | null): T | undefined {
  return value ?? undefined;
}

const conv2d: RunOp = async (c) => {
  const [input, weight, bias] = [c.image('input'), c.input('weight'), c.optional('bias')];
  const options = {
    bias,
    stride: c.params.pair('stride'),
    padding: c.params.pair('padding'),
    dilation: c.params.pair('dilation'),
    groups: c.params.number('groups'),
  };
  c.compareImage('output', await c.run(() => ops.conv2d(input, weight, options)));
};

const convTranspose2d: RunOp = async (c) => {
  const [input, weight, bias] = [c.image('input'), c.input('weight'), c.optional('bias')];
  const options = {
    bias,
    stride: c.params.pair('stride'),
    padding: c.params.pair('padding'),
    outputPadding: c.params.pair('output_padding'),
    dilation: c.params.pair('dilation'),
    groups: c.params.number('groups'),
  };
  c.compareImage('output', await c.run(() => ops.convTranspose2d(input, weight, options)));
};

const deformConv2d: RunOp = async (c) => {
  const [input, weight, offset] = [c.image('input'), c.input('weight'), c.image('offset')];
  const options = {
    mask: c.inputNames.includes('mask') ? c.image('mask') : undefined,
    bias: c.optional('bias'),
    stride: c.params.pair('stride'),
    padding: c.params.pair('padding'),
    dilation: c.params.pair('dilation'),
    groups: c.params.number('groups'),
  };
  // Ours reads the number of offset groups off the offset's channels.
  const [kernelHeight, kernelWidth] = weight.shape.slice(2) as [number, number];
  c.params.only('offset_groups', offset.shape[3]! / (2 * kernelHeight * kernelWidth));
  c.compareImage('output', await c.run(() => ops.deformConv2d(input, weight, offset, options)));
};

interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
}

function window(c: OpCase): Window {
  return { kernel: c.params.pair('kernel'), stride: c.params.pair('stride'), padding: c.params.pair('padding') };
}

const maxPool2d: RunOp = async (c) => {
  const input = c.image('input');
  const options = { ...window(c), dilation: c.params.pair('dilation'), ceilMode: c.params.flag('ceil_mode') };
  c.compareImage('output', await c.run(() => ops.maxPool2d(input, options)));
  const both = await c.run(() => ops.maxPool2dWithIndices(input, options));
  c.compareImage('output', both.output);
  if (c.has('indices')) c.compareImage('indices', both.indices, EXACT);
};

const avgPool2d: RunOp = async (c) => {
  const input = c.image('input');
  const options = {
    ...window(c),
    ceilMode: c.params.flag('ceil_mode'),
    countIncludePad: c.params.flag('count_include_pad'),
    divisor: optional(c.params.any('divisor_override') as number | null),
  };
  c.compareImage('output', await c.run(() => ops.avgPool2d(input, options)));
};

const adaptivePool2d: RunOp = async (c) => {
  const input = c.image('input');
  const options = { kind: c.params.choice('kind', 'avg', 'max'), output: c.params.pair('output') };
  c.compareImage('output', await c.run(() => ops.adaptivePool2d(input, options)));
};

const maxUnpool2d: RunOp = async (c) => {
  const [input, indices] = [c.image('input'), c.image('indices')];
  const size = c.params.has('output_size') ? c.params.two('output_size') : c.params.any('output_size');
  const options = { ...window(c), outputSize: optional(size as [number, number] | null) };
  c.compareImage('output', await c.run(() => ops.maxUnpool2d(input, indices, options)));
};

const MODES = { bilinear: 'bilinear', nearest: 'nearest', 'nearest-exact': 'nearestExact' } as const;

const interpolate: RunOp = async (c) => {
  const input = c.image('input');
  const factor = c.params.has('scale_factor') ? c.params.pair('scale_factor') : c.params.any('scale_factor');
  const size = c.params.has('size') ? c.params.pair('size') : c.params.any('size');
  const options = {
    mode: MODES[c.params.choice('mode', 'bilinear', 'nearest', 'nearest-exact')],
    size: optional(size as Pair | null),
    scale: optional(factor as number | [number, number] | null),
    alignCorners: optional(c.params.any('align_corners') as boolean | null),
    recomputeScale: optional(c.params.any('recompute_scale_factor') as boolean | null),
  };
  c.compareImage('output', await c.run(() => ops.resize(input, options)));
};

const gridSample: RunOp = async (c) => {
  const [input, grid] = [c.image('input'), c.input('grid')];
  const alignCorners = c.params.flag('align_corners');
  c.compareImage('output', await c.run(() => ops.gridSample(input, grid, { alignCorners })));
};

const batchNorm: RunOp = async (c) => {
  const input = c.image('input');
  const options = {
    mean: c.input('running_mean'),
    variance: c.input('running_var'),
    weight: c.optional('weight'),
    bias: c.optional('bias'),
    epsilon: c.params.number('eps'),
  };
  c.compareImage('output', await c.run(() => ops.batchNorm(input, options)));
};

const linear: RunOp = async (c) => {
  const [input, weight, bias] = [c.input('input'), c.input('weight'), c.optional('bias')];
  c.compare('output', await c.run(() => ops.linear(input, weight, { bias })));
};

/** torchvision's limit of dw and dh. */
const SIZE_LIMIT = Math.log(1000 / 16);

/** There is no op of that name: the boxes are chosen so that half of each decoded width is half of exp(dw). */
const expClamped: RunOp = async (c) => {
  const { data: values } = c.golden('input');
  const count = values.length;
  const unit = Tensor.from(
    Float32Array.from({ length: count * 4 }, (_, i) => (i % 4 < 2 ? -0.5 : 0.5)),
    [count, 4],
  );
  const deltas = Tensor.from(
    Float32Array.from({ length: count * 4 }, (_, i) => (i % 4 < 2 ? 0 : values[i >> 2]!)),
    [count, 4],
  );
  const boxes = await c.run(() => ops.decodeBoxes(unit, deltas, { weights: [1, 1, 1, 1], clip: SIZE_LIMIT }));
  for (const corner of [2, 3]) {
    c.compare('output', { shape: [count], data: values.map((_, i) => 2 * boxes.data[i * 4 + corner]!) });
  }
};

const elementwise =
  (op: (input: Tensor) => SymbolicTensor): RunOp =>
  async (c) => {
    const input = c.input('input');
    c.compare('output', await c.run(() => op(input)));
  };

const ACTIVATIONS: Readonly<Record<string, RunOp>> = {
  sigmoid: elementwise(ops.sigmoid),
  tanh: elementwise(ops.tanh),
  relu: elementwise(ops.relu),
  exp_clamped: expClamped,
};

const softmax: RunOp = async (c) => {
  const input = c.input('input');
  const axis = c.params.number('dim');
  c.compare('output', await c.run(() => ops.softmax(input, { axis })));
};

/** The sub-case's name says which function it is. */
const activations =
  (name: string): RunOp =>
  async (c) => {
    const run = name.startsWith('softmax') ? softmax : ACTIVATIONS[name];
    if (!run) throw new Error(`unknown activation "${name}"`);
    await run(c);
  };

/** A vector as one row; ops sort the rows of a matrix. */
function rows(c: OpCase): { input: Tensor; like: (tensor: Tensor) => Tensor } {
  const { data, shape } = c.golden('input');
  if (shape.length === 1) return { input: Tensor.from(data, [1, data.length]), like: ofOneImage };
  if (shape.length !== 2) throw new Error(`expected a vector or a matrix, the shape is [${shape.join(', ')}]`);
  return { input: Tensor.from(data, shape), like: (tensor) => tensor };
}

const topk: RunOp = async (c) => {
  const { input, like } = rows(c);
  if (c.params.has('stable')) {
    c.params.only('stable', true);
    const sorted = await c.run(() => ops.sort(input, { descending: true }));
    c.compare('values', like(sorted.values));
    c.compare('indices', like(sorted.indices), EXACT);
    return;
  }
  c.params.only('largest', true);
  c.params.only('sorted', true);
  if (c.params.has('dim') && ![-1, 1].includes(c.params.number('dim'))) throw new Error('topk runs along rows only');
  const k = c.params.number('k');
  const { values, indices } = await c.run(() => {
    const top = ops.topK(input, { k });
    return { values: top.values, indices: top.indices };
  });
  c.compare('values', like(values));
  if (c.has('indices')) c.compare('indices', like(indices), EXACT);
  // Whether the indices are stored or not, they have to say where the values are.
  const width = input.shape[1]!;
  const found = values.data.map((_, i) => input.data[Math.floor(i / values.shape[1]!) * width + indices.data[i]!]!);
  c.comparisons.push(compareValues(found, values.data, EXACT));
};

/** Boxes [R, 5] with the image's index first, as [N, K, 4] with counts, and where each of the R rows went. */
function groupBoxes({ data, shape }: GoldenTensor, images: number): { boxes: Tensor; counts: Tensor; at: number[] } {
  const counts = new Int32Array(images);
  const places = Array.from({ length: shape[0]! }, (_, r) => {
    const image = data[r * 5]!;
    const place = { image, slot: counts[image]! };
    counts[image]! += 1;
    return place;
  });
  const capacity = Math.max(1, ...counts);
  const boxes = new Float32Array(images * capacity * 4);
  const at = places.map(({ image, slot }) => image * capacity + slot);
  at.forEach((row, r) => boxes.set(data.subarray(r * 5 + 1, r * 5 + 5), row * 4));
  return { boxes: Tensor.from(boxes, [images, capacity, 4]), counts: Tensor.from(counts), at };
}

const roiAlign: RunOp = async (c) => {
  const input = c.image('input');
  const { boxes, counts, at } = groupBoxes(c.golden('boxes'), input.shape[0]!);
  const options = {
    counts,
    output: c.params.pair('output_size'),
    samplingRatio: c.params.number('sampling_ratio'),
    aligned: c.params.flag('aligned'),
    scales: [c.params.number('spatial_scale')],
  };
  const pooled = await c.run(() => ops.roiAlign(boxes, [input], options));
  c.compareImage('output', pickRows(pooled, at));
};

const multiscaleRoiAlign: RunOp = async (c) => {
  const maps = c.inputNames
    .filter((name) => /^f\d+$/.test(name))
    .sort()
    .map((name) => c.image(name));
  const perImage = c.inputNames
    .filter((name) => /^boxes\d+$/.test(name))
    .sort()
    .map((name) => c.golden(name));
  // [R, 5] with the image in front, which is how the rows of the output are ordered.
  const listed = perImage.flatMap(({ data, shape }, image) =>
    Array.from({ length: shape[0]! }, (_, r) => [image, ...data.subarray(r * 4, r * 4 + 4)]),
  );
  const { boxes, counts, at } = groupBoxes(
    { shape: [listed.length, 5], data: Float32Array.from(listed.flat()) },
    perImage.length,
  );
  c.params.two('image');
  const scales = c.params.any('scales') as number[];
  const options = {
    counts,
    output: c.params.pair('output_size'),
    samplingRatio: c.params.number('sampling_ratio'),
    aligned: false,
  };
  const pooled = pickRows(await c.run(() => ops.roiAlign(boxes, maps, { ...options, scales })), at);
  c.compareImage('output', pooled);
  // The level has no output of its own: a region has to equal the one pooled from the expected level alone.
  const levels = c.expected('levels').data;
  for (const [level, map] of maps.entries()) {
    const alone = pickRows(await c.run(() => ops.roiAlign(boxes, [map], { ...options, scales: [scales[level]!] })), at);
    const mine = at.flatMap((_, r) => (levels[r] === level ? [r] : []));
    c.comparisons.push(compareValues(pickRows(pooled, mine).data, pickRows(alone, mine).data, EXACT));
  }
};

const nms: RunOp = async (c) => {
  const [boxes, scores] = [oneImage(c.golden('boxes')), oneImage(c.golden('scores'))];
  const groups = c.inputNames.includes('classes') ? oneImage(c.golden('classes')) : undefined;
  // Where torchvision's two strategies differ, ours is that of one nms a class.
  c.params.any('both_strategies_agree');
  const iouThreshold = c.params.number('iou_threshold');
  const { indices } = await c.run(() => ops.nms(boxes, scores, { groups, iouThreshold }));
  c.compare('keep', ofOneImage(indices), EXACT);
};

const boxes: RunOp = async (c) => {
  switch (c.params.any('fn')) {
    case 'box_iou': {
      const [a, b] = [c.input('a'), c.input('b')];
      return c.compare('output', await c.run(() => ops.boxIou(a, b)));
    }
    case 'clip_boxes_to_image': {
      const input = c.input('boxes');
      const size = c.params.two('size');
      return c.compare('output', await c.run(() => ops.clipBoxes(input, { size })));
    }
    case 'remove_small_boxes': {
      const input = oneImage(c.golden('boxes'));
      const scores = Tensor.zeros(input.shape.slice(0, 2));
      const minSize = c.params.number('min_size');
      const { indices } = await c.run(() => ({ indices: ops.filterBoxes(input, scores, { minSize }).indices }));
      return c.compare('keep', ofOneImage(indices), EXACT);
    }
    case 'BoxCoder.decode': {
      const [input, deltas] = [c.input('boxes'), c.input('deltas')];
      const options = {
        weights: c.params.any('weights') as [number, number, number, number],
        clip: c.params.number('clip'),
      };
      return c.compare('output', await c.run(() => ops.decodeBoxes(input, deltas, options)));
    }
    default:
      throw new Error(`unknown function "${String(c.params.any('fn'))}"`);
  }
};

const anchors: RunOp = async (c) => {
  const [height, width] = c.params.two('image');
  const grids = c.params.any('grids') as [number, number][];
  const sizes = c.params.any('sizes') as number[][];
  const ratios = c.params.any('ratios') as number[][];
  const levels = grids.map((grid, level) => ({
    grid,
    stride: [Math.floor(height / grid[0]), Math.floor(width / grid[1])] as const,
    base: baseAnchors(sizes[level]!, ratios[level]!, { rounding: 'half-even' }),
  }));
  levels.forEach(({ base }, level) =>
    c.compare(`base${level}`, { shape: [base.length / 4, 4], data: Float32Array.from(base) }),
  );
  const all = await c.run(() =>
    ops.concat(
      levels.map((level) => ops.anchors(level)),
      { axis: 0 },
    ),
  );
  c.comparisons.push(compareValues([all.shape[0]!], [c.params.number('total')], EXACT));
  const step = c.params.number('step');
  const sampled = Array.from({ length: Math.ceil(all.shape[0]! / step) }, (_, i) => i * step);
  c.compare(`anchors_every_${step}`, pickRows(all, sampled));
};

const RULES = { torchvision: 'torchvision', grid_sample: 'detectron2' } as const;

const pasteMasks: RunOp = async (c) => {
  const kind = c.params.choice('kind', 'torchvision', 'grid_sample');
  if (kind === 'torchvision') c.params.only('padding', 1);
  const size = c.params.two('size');
  const { data, shape } = c.golden('masks');
  const masks = Tensor.from(data, [1, shape[0]!, shape[2]!, shape[3]!]);
  const soft = c.expected('output');
  c.comparisons.push(
    ...(await comparePastedMasks(c.device, RULES[kind], masks, oneImage(c.golden('boxes')), size, soft, {
      tolerance: c.tolerance,
      ...(c.has('binary') && { binary: c.expected('binary') }),
    })),
  );
};

/** By the name of the family; the function gets the sub-case's name for families that are named by it. */
/** 8-bit images exactly; beside them only the f32 ones leave room for the order of additions. */
const preprocessPillow: RunOp = async (c) => {
  const image = c.input('image');
  const [height, width] = c.params.two('size');
  const sizes = Tensor.from(Int32Array.of(image.shape[0]!, image.shape[1]!, height, width), [1, 4]);
  const options = { height, width, mean: [0, 0, 0], std: [1, 1, 1] };
  const resized = await c.run(() => ops.preprocessPillow([image], sizes, options));
  const tolerance = image.dtype === 'u8' ? EXACT : c.tolerance;
  c.comparisons.push(compareValues(resized.data, c.expected('resized').data, tolerance));
};

export const OPS: Readonly<Record<string, (subCase: string) => RunOp>> = {
  activations,
  adaptive_pool2d: () => adaptivePool2d,
  anchors: () => anchors,
  avg_pool2d: () => avgPool2d,
  batch_norm: () => batchNorm,
  batched_nms: () => nms,
  boxes: () => boxes,
  conv2d: () => conv2d,
  conv_transpose2d: () => convTranspose2d,
  deform_conv2d: () => deformConv2d,
  grid_sample: () => gridSample,
  interpolate: () => interpolate,
  linear: () => linear,
  max_pool2d: () => maxPool2d,
  max_unpool2d: () => maxUnpool2d,
  multiscale_roi_align: () => multiscaleRoiAlign,
  nms: () => nms,
  paste_masks: () => pasteMasks,
  preprocess_pillow: () => preprocessPillow,
  roi_align: () => roiAlign,
  topk: () => topk,
  yolact: () => yolact,
};

/** What `bench ops` runs: for each op, inputs of a shape, the call, and which part of the result is checked how. */
import * as ops from '../ops/index.js';
import type { SymbolicTensor, TensorLike } from '../runtime/graph.js';
import { Tensor } from '../runtime/tensor.js';
import { InstasegError } from '../runtime/errors.js';
import { boxes, fractions, integers, noise, noiseImage } from './random.js';
import { ShapeReader, type ShapeCase } from './shape-file.js';

/** A call whose time is measured. */
export interface OpCase {
  readonly shape: ShapeCase;
  readonly inputs: readonly Tensor[];
  /** Which of the inputs are feature maps: they come in the precision that is asked for, the others as they are. */
  readonly features: readonly number[];
  /** Records the op on its inputs; the result is what is compared. */
  readonly record: (inputs: readonly TensorLike[]) => SymbolicTensor;
  /** A call that computes some output channels only, for a check that does not take minutes. */
  readonly part?: ChannelPart;
}

/** Some channels (the last axis) of the output. */
export interface ChannelPart {
  readonly channels: readonly number[];
  readonly of: number;
  readonly inputs: readonly Tensor[];
  readonly record: (inputs: readonly TensorLike[]) => SymbolicTensor;
}

/** Multiply-adds that a scalar kernel does in well under a second. */
const SCALAR_BUDGET = 5e8;

/** A layer with weights: `call` makes its record of them; `axis` of the weight is that of the output channels. */
interface Layer {
  readonly call: (weight: Tensor, bias: Tensor) => OpCase['record'];
  readonly weight: Tensor<Float32Array>;
  readonly bias: Tensor<Float32Array>;
  /** Of the call that computes `channels` only. */
  readonly inputs: readonly Tensor[];
  readonly channels: readonly number[] | undefined;
  readonly of: number;
  readonly axis?: number;
}

/** The layer whole, and where channels are chosen, the layer with these alone. */
function sampled({ call, weight, bias, inputs, channels, of, axis = 0 }: Layer): Pick<OpCase, 'record' | 'part'> {
  const record = call(weight, bias);
  if (!channels) return { record };
  return {
    record,
    part: { channels, of, inputs, record: call(take(weight, axis, channels), take(bias, 0, channels)) },
  };
}

/** Reads and checks the values of a case; what it returns makes the inputs, which takes time and memory. */
type Maker = (reader: ShapeReader) => () => Omit<OpCase, 'shape'>;

type Size = [number, number];
type Size4 = [number, number, number, number];

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

/** Evenly spread output channels, the first and the last among them, that cost no more than the budget; all where they fit. */
function sampledChannels(outputs: number, multiplyAdds: number): number[] | undefined {
  const affordable = Math.max(2, Math.floor(SCALAR_BUDGET / (multiplyAdds / outputs)));
  if (affordable >= outputs) return undefined;
  return Array.from({ length: affordable }, (_, i) => Math.round((i * (outputs - 1)) / (affordable - 1)));
}

/** The given positions of axis `axis`. */
function take(tensor: Tensor<Float32Array>, axis: number, positions: readonly number[]): Tensor<Float32Array> {
  const { shape, data } = tensor;
  const inner = product(shape.slice(axis + 1));
  const size = shape[axis]!;
  const outer = data.length / (size * inner);
  const out = new Float32Array(outer * positions.length * inner);
  let at = 0;
  for (let i = 0; i < outer; i += 1) {
    for (const position of positions) {
      const from = (i * size + position) * inner;
      out.set(data.subarray(from, from + inner), at);
      at += inner;
    }
  }
  return Tensor.from(out, [...shape.slice(0, axis), positions.length, ...shape.slice(axis + 1)]);
}

/** Weights scaled so that outputs are of the size of the inputs. */
function weights(shape: readonly number[], seed: number): Tensor<Float32Array> {
  return noise(shape, seed, 2 * Math.sqrt(3 / product(shape.slice(1))));
}

/** What conv2d and deformConv2d have in common. */
function convolution(reader: ShapeReader, defaultKernel: number) {
  const input = reader.list('input', 4) as unknown as Size4;
  const outputs = reader.integer('outputs');
  const kernel = reader.integer('kernel', defaultKernel);
  const stride = reader.integer('stride', 1);
  const activation = reader.choice('activation', ['none', 'relu']);
  const padding = (kernel - 1) >> 1;
  const side = (size: number): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const [n, height, width, from] = input;
  const output = [n, side(height), side(width), outputs] as const;
  if (product(output) < 1) reader.refuse(`an input of at least kernel=${kernel} with padding ${padding}`);
  return {
    input,
    outputs,
    kernel,
    output,
    options: { stride, padding, activation },
    parameters: () => ({ weight: weights([outputs, from, kernel, kernel], 2), bias: noise([outputs], 3) }),
    channels: sampledChannels(outputs, product(output) * from * kernel * kernel),
  };
}

const conv2d: Maker = (reader) => {
  const { input, outputs, output, options, parameters, channels } = convolution(reader, 1);
  const residual = reader.integer('residual', 0, 0);
  if (residual > 1) reader.refuse(`residual=0 or 1, received ${residual}`);
  return () => {
    const { weight, bias } = parameters();
    const call =
      (w: Tensor, b: Tensor) =>
      ([x, add]: readonly TensorLike[]): SymbolicTensor =>
        ops.conv2d(x!, w, { ...options, bias: b, residual: add });
    const inputs = [noise(input, 1), ...(residual === 1 ? [noise(output, 4)] : [])];
    const ofPart = channels ? [inputs[0]!, ...inputs.slice(1).map((tensor) => take(tensor, 3, channels))] : inputs;
    return {
      inputs,
      features: inputs.map((_, i) => i),
      ...sampled({ call, weight, bias, inputs: ofPart, channels, of: outputs }),
    };
  };
};

const deformConv2d: Maker = (reader) => {
  const { input, outputs, kernel, output, options, parameters, channels } = convolution(reader, 3);
  return () => {
    const { weight, bias } = parameters();
    const call =
      (w: Tensor, b: Tensor) =>
      ([x, offset, mask]: readonly TensorLike[]): SymbolicTensor =>
        ops.deformConv2d(x!, w, offset!, { ...options, mask, maskActivation: 'sigmoid', bias: b });
    const places = output.slice(0, 3);
    const inputs = [
      noise(input, 1),
      noise([...places, 2 * kernel * kernel], 4, 4), // up to two pixels
      noise([...places, kernel * kernel], 5, 4),
    ];
    return {
      inputs,
      features: [0],
      ...sampled({ call, weight, bias, inputs, channels, of: outputs }),
    };
  };
};

const convTranspose2d: Maker = (reader) => {
  const input = reader.list('input', 4);
  const from = input[3]!;
  const outputs = reader.integer('outputs');
  const kernel = reader.integer('kernel');
  const stride = reader.integer('stride', 1);
  const activation = reader.choice('activation', ['none', 'relu']);
  const channels = sampledChannels(outputs, product(input) * outputs * kernel * kernel);
  return () => {
    const weight = noise([from, outputs, kernel, kernel], 2, 2 * Math.sqrt(3 / from));
    const bias = noise([outputs], 3);
    const call =
      (w: Tensor, b: Tensor) =>
      ([x]: readonly TensorLike[]): SymbolicTensor =>
        ops.convTranspose2d(x!, w, { bias: b, stride, activation });
    const inputs = [noise(input, 1)];
    return {
      inputs,
      features: [0],
      ...sampled({ call, weight, bias, inputs, channels, of: outputs, axis: 1 }),
    };
  };
};

const linear: Maker = (reader) => {
  const [rows, from] = reader.list('input', 2) as unknown as Size;
  const outputs = reader.integer('outputs');
  const activation = reader.choice('activation', ['none', 'relu']);
  const channels = sampledChannels(outputs, rows * from * outputs);
  return () => {
    const weight = weights([outputs, from], 2);
    const bias = noise([outputs], 3);
    const call =
      (w: Tensor, b: Tensor) =>
      ([x]: readonly TensorLike[]): SymbolicTensor =>
        ops.linear(x!, w, { bias: b, activation });
    const inputs = [noise([rows, from], 1)];
    return {
      inputs,
      features: [0],
      ...sampled({ call, weight, bias, inputs, channels, of: outputs }),
    };
  };
};

const roiAlign: Maker = (reader) => {
  const number = reader.integer('boxes');
  const output = reader.integer('output');
  const image = reader.list('image', 2) as unknown as Size;
  const channels = reader.integer('channels');
  const strides = [4, 8, 16, 32];
  return () => {
    const regions = boxes(number, image, 9);
    const scales = strides.map((stride) => 1 / stride);
    return {
      inputs: strides.map((stride, i) =>
        noise([1, Math.ceil(image[0] / stride), Math.ceil(image[1] / stride), channels], 5 + i),
      ),
      features: strides.map((_, i) => i),
      record: (maps) => ops.roiAlign(regions, maps, { output, samplingRatio: 2, scales }),
    };
  };
};

const nms: Maker = (reader) => {
  const number = reader.integer('boxes');
  const groupCount = reader.integer('groups', 1);
  const iouThreshold = reader.number('iou');
  const image = reader.list('image', 2) as unknown as Size;
  return () => {
    const groups = integers([1, number], groupCount, 11);
    return {
      inputs: [boxes(number, image, 9), fractions([1, number], 10)],
      features: [],
      record: ([box, score]) => ops.nms(box!, score!, { groups, iouThreshold, maxOutput: 1000 }).indices,
    };
  };
};

/** Relative to an image of 550 pixels, as YOLACT has them. */
function relativeBoxes(number: number): Tensor {
  const { data, shape } = boxes(number, [550, 550], 9);
  return Tensor.from(
    data.map((value) => value / 550),
    shape,
  );
}

/** How many of `rows` rows are valid, `valid=`; all by default. */
function validRows(reader: ShapeReader, rows: number): number {
  const valid = reader.integer('valid', rows, 0);
  if (valid > rows) reader.refuse(`valid of at most ${rows}, received ${valid}`);
  return valid;
}

const counts = (valid: number): Tensor => Tensor.from(Int32Array.of(valid), [1]);

/** As YOLACT++ calls it: on rows with the capacity of all anchors, of which some are candidates. */
const fastNms: Maker = (reader) => {
  const number = reader.integer('boxes');
  const valid = validRows(reader, number);
  const classes = reader.integer('classes');
  const iouThreshold = reader.number('iou');
  return () => ({
    inputs: [relativeBoxes(number), fractions([1, number, classes], 10), counts(valid)],
    features: [],
    record: ([box, score, count]) =>
      ops.fastNms(box!, score!, { counts: count, iouThreshold, background: true, topK: 200, maxOutput: 100 }).indices,
  });
};

/** `valid` rows spread evenly have a class above the threshold, the others none. */
const selectCandidates: Maker = (reader) => {
  const shape = reader.list('input', 3) as unknown as [number, number, number];
  const threshold = reader.number('threshold');
  const [images, rows, classes] = shape;
  const valid = validRows(reader, rows);
  if (images !== 1 || classes < 2) reader.refuse('input=1xROWSxCLASSES with the background and another class at least');
  if (threshold >= 1) reader.refuse('a threshold below 1');
  return () => {
    const scores = noise(shape, 1, threshold / 2);
    for (let i = 0; i < valid; i += 1) {
      const row = Math.floor((i * rows) / valid);
      scores.data[row * classes + 1 + (i % (classes - 1))] = (threshold + 1) / 2;
    }
    return { inputs: [scores], features: [], record: ([x]) => ops.selectCandidates(x!, { threshold }).indices };
  };
};

const gatherRows: Maker = (reader) => {
  const shape = reader.list('input', 3);
  const of = shape[1]!;
  const rows = reader.integer('rows');
  const valid = validRows(reader, rows);
  return () => ({
    inputs: [noise(shape, 1), integers([shape[0]!, rows], of, 11)],
    features: [],
    record: ([x, indices]) => ops.gatherRows(x!, indices!, valid < rows ? { counts: counts(valid) } : {}),
  });
};

/** Rows of several tensors with the same columns, one after the other, as levels of a pyramid are joined. */
const concat: Maker = (reader) => {
  const rows = reader.list('rows');
  const columns = reader.integer('columns');
  return () => ({
    inputs: rows.map((each, i) => noise([1, each, columns], 1 + i)),
    features: rows.map((_, i) => i),
    record: (tensors) => ops.concat([...tensors], { axis: 1 }),
  });
};

const topK: Maker = (reader) => {
  const input = reader.list('input', 2);
  const k = reader.integer('k');
  return () => ({ inputs: [noise(input, 1)], features: [], record: ([x]) => ops.topK(x!, { k }).indices });
};

/** i32 [1, 4]: an image that was not resized. */
const imageSizes = (image: Size): Tensor => Tensor.from(Int32Array.from([...image, ...image]), [1, 4]);

type PasteOp = (masks: TensorLike, box: TensorLike, sizes: Tensor) => SymbolicTensor;

const paste =
  (op: PasteOp): Maker =>
  (reader) => {
    const number = reader.integer('masks');
    const side = reader.integer('side');
    const image = reader.list('image', 2) as unknown as Size;
    return () => ({
      inputs: [fractions([1, number, side, side], 13), boxes(number, image, 9)],
      features: [],
      record: ([mask, box]) => op(mask!, box!, imageSizes(image)),
    });
  };

const assembleMasks: Maker = (reader) => {
  const prototypes = reader.list('input', 4);
  const number = reader.integer('masks');
  return () => {
    const relative = relativeBoxes(number);
    return {
      inputs: [noise(prototypes, 1), noise([1, number, prototypes[3]!], 2, 2)],
      features: [0],
      record: ([maps, coefficients]) => ops.assembleMasks(maps!, coefficients!, relative),
    };
  };
};

const upsampleMasks: Maker = (reader) => {
  const [number, side] = [reader.integer('masks'), reader.integer('side')];
  const image = reader.list('image', 2) as unknown as Size;
  return () => ({
    inputs: [fractions([number, side, side, 1], 13)],
    features: [],
    record: ([masks]) => ops.upsampleMasks(masks!, imageSizes(image)).bits,
  });
};

const resize: Maker = (reader) => {
  const input = reader.list('input', 4);
  const size = reader.list('size', 2) as unknown as Size;
  return () => ({ inputs: [noise(input, 1)], features: [0], record: ([x]) => ops.resize(x!, { size }) });
};

const maxPool2d: Maker = (reader) => {
  const input = reader.list('input', 4);
  const options = {
    kernel: reader.integer('kernel'),
    stride: reader.integer('stride', 1),
    padding: reader.integer('padding', 0, 0),
  };
  return () => ({ inputs: [noise(input, 1)], features: [0], record: ([x]) => ops.maxPool2d(x!, options) });
};

const softmax: Maker = (reader) => {
  const input = reader.list('input', 2);
  return () => ({ inputs: [noise(input, 1, 8)], features: [0], record: ([x]) => ops.softmax(x!) });
};

const add: Maker = (reader) => {
  const input = reader.list('input', 4);
  return () => ({
    inputs: [noise(input, 1), noise(input, 2)],
    features: [0, 1],
    record: ([a, b]) => ops.add(a!, b!, { activation: 'relu' }),
  });
};

const preprocess: Maker = (reader) => {
  const [height, width] = reader.list('image', 2) as unknown as Size;
  const resized = reader.list('resized', 2) as unknown as Size;
  const padded = reader.list('padded', 2) as unknown as Size;
  return () => ({
    inputs: [Tensor.from(noiseImage(height, width), [height, width, 3])],
    features: [],
    record: ([image]) =>
      ops.preprocess([image!], Tensor.from(Int32Array.from([height, width, ...resized]), [1, 4]), {
        height: padded[0],
        width: padded[1],
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
      }),
  });
};

const MAKERS: Readonly<Record<string, Maker>> = {
  conv2d,
  convTranspose2d,
  deformConv2d,
  linear,
  roiAlign,
  nms,
  fastNms,
  selectCandidates,
  gatherRows,
  concat,
  topK,
  pasteMasks: paste((masks, box, sizes) => ops.pasteMasks(masks, box, sizes).bits),
  pasteMasksRle: paste((masks, box, sizes) => ops.pasteMasksRle(masks, box, sizes).runs),
  assembleMasks,
  upsampleMasks,
  resize,
  maxPool2d,
  softmax,
  add,
  preprocess,
};

function read(shape: ShapeCase): () => Omit<OpCase, 'shape'> {
  const maker = Object.hasOwn(MAKERS, shape.op) ? MAKERS[shape.op] : undefined;
  if (!maker) {
    const known = Object.keys(MAKERS).join(', ');
    throw new InstasegError('ERR_ARGUMENT', `${shape.where}: expected one of ${known}, received "${shape.op}"`);
  }
  const reader = new ShapeReader(shape);
  const make = maker(reader);
  reader.finish();
  return make;
}

/**
 * Checks a case without making its inputs.
 * @throws InstasegError ERR_ARGUMENT naming the line of the shape file
 */
export function checkCase(shape: ShapeCase): void {
  read(shape);
}

/** @throws InstasegError ERR_ARGUMENT naming the line of the shape file */
export function opCase(shape: ShapeCase): OpCase {
  return { shape, ...read(shape)() };
}

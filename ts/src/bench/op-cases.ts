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

type Maker = (reader: ShapeReader) => Omit<OpCase, 'shape'>;

function activationOf(reader: ShapeReader): 'relu' | 'none' {
  const name = reader.text('activation', 'none');
  if (name === 'relu' || name === 'none') return name;
  throw new InstasegError('ERR_ARGUMENT', `${reader.shape.where}: expected activation=relu or none, received ${name}`);
}

/** Evenly spread output channels, the first and the last among them, that cost no more than the budget; all where they fit. */
function sampledChannels(outputs: number, multiplyAdds: number): number[] | undefined {
  const affordable = Math.max(2, Math.floor(SCALAR_BUDGET / (multiplyAdds / outputs)));
  if (affordable >= outputs) return undefined;
  return Array.from({ length: affordable }, (_, i) => Math.round((i * (outputs - 1)) / (affordable - 1)));
}

/** The given positions of axis `axis`. */
function take(tensor: Tensor<Float32Array>, axis: number, positions: readonly number[]): Tensor<Float32Array> {
  const { shape, data } = tensor;
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
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

/** Weights and bias scaled so that outputs are of the size of the inputs. */
function weights(shape: readonly number[], seed: number): Tensor<Float32Array> {
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  return noise(shape, seed, 2 * Math.sqrt(3 / fanIn));
}

const conv2d: Maker = (reader) => {
  const [n, height, width, from] = reader.list('input', 4) as unknown as [number, number, number, number];
  const outputs = reader.integer('outputs');
  const kernel = reader.integer('kernel', 1);
  const stride = reader.integer('stride', 1);
  const residual = reader.integer('residual', 0) === 1;
  const activation = activationOf(reader);
  const padding = (kernel - 1) >> 1;
  const side = (size: number): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const output = [n, side(height), side(width), outputs];
  const weight = weights([outputs, from, kernel, kernel], 2);
  const bias = noise([outputs], 3);
  const call =
    (w: Tensor, b: Tensor) =>
    ([x, add]: readonly TensorLike[]): SymbolicTensor =>
      ops.conv2d(x!, w, { bias: b, residual: add, stride, padding, activation });
  const inputs = [noise([n, height, width, from], 1), ...(residual ? [noise(output, 4)] : [])];
  const sums = output.reduce((product, size) => product * size, 1);
  const channels = sampledChannels(outputs, sums * from * kernel * kernel);
  return {
    inputs,
    features: inputs.map((_, i) => i),
    record: call(weight, bias),
    ...(channels && {
      part: {
        channels,
        of: outputs,
        inputs: [inputs[0]!, ...inputs.slice(1).map((tensor) => take(tensor, 3, channels))],
        record: call(take(weight, 0, channels), take(bias, 0, channels)),
      },
    }),
  };
};

const convTranspose2d: Maker = (reader) => {
  const [n, height, width, from] = reader.list('input', 4) as unknown as [number, number, number, number];
  const outputs = reader.integer('outputs');
  const kernel = reader.integer('kernel');
  const stride = reader.integer('stride', 1);
  const activation = activationOf(reader);
  const weight = noise([from, outputs, kernel, kernel], 2, 2 * Math.sqrt(3 / from));
  const bias = noise([outputs], 3);
  const call =
    (w: Tensor, b: Tensor) =>
    ([x]: readonly TensorLike[]): SymbolicTensor =>
      ops.convTranspose2d(x!, w, { bias: b, stride, activation });
  const inputs = [noise([n, height, width, from], 1)];
  const channels = sampledChannels(outputs, n * height * width * from * outputs * kernel * kernel);
  return {
    inputs,
    features: [0],
    record: call(weight, bias),
    ...(channels && {
      part: { channels, of: outputs, inputs, record: call(take(weight, 1, channels), take(bias, 0, channels)) },
    }),
  };
};

const deformConv2d: Maker = (reader) => {
  const [n, height, width, from] = reader.list('input', 4) as unknown as [number, number, number, number];
  const outputs = reader.integer('outputs');
  const kernel = reader.integer('kernel', 3);
  const stride = reader.integer('stride', 1);
  const activation = activationOf(reader);
  const padding = (kernel - 1) >> 1;
  const side = (size: number): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const output = [n, side(height), side(width)] as const;
  const weight = weights([outputs, from, kernel, kernel], 2);
  const bias = noise([outputs], 3);
  const call =
    (w: Tensor, b: Tensor) =>
    ([x, offset, mask]: readonly TensorLike[]): SymbolicTensor =>
      ops.deformConv2d(x!, w, offset!, { mask, maskActivation: 'sigmoid', bias: b, stride, padding, activation });
  const inputs = [
    noise([n, height, width, from], 1),
    noise([...output, 2 * kernel * kernel], 4, 4), // up to two pixels
    noise([...output, kernel * kernel], 5, 4),
  ];
  const sums = output.reduce((product, size) => product * size, 1) * outputs;
  const channels = sampledChannels(outputs, sums * from * kernel * kernel);
  return {
    inputs,
    features: [0],
    record: call(weight, bias),
    ...(channels && {
      part: { channels, of: outputs, inputs, record: call(take(weight, 0, channels), take(bias, 0, channels)) },
    }),
  };
};

const linear: Maker = (reader) => {
  const [rows, from] = reader.list('input', 2) as unknown as [number, number];
  const outputs = reader.integer('outputs');
  const activation = activationOf(reader);
  const weight = weights([outputs, from], 2);
  const bias = noise([outputs], 3);
  const call =
    (w: Tensor, b: Tensor) =>
    ([x]: readonly TensorLike[]): SymbolicTensor =>
      ops.linear(x!, w, { bias: b, activation });
  const inputs = [noise([rows, from], 1)];
  const channels = sampledChannels(outputs, rows * from * outputs);
  return {
    inputs,
    features: [0],
    record: call(weight, bias),
    ...(channels && {
      part: { channels, of: outputs, inputs, record: call(take(weight, 0, channels), take(bias, 0, channels)) },
    }),
  };
};

const roiAlign: Maker = (reader) => {
  const number = reader.integer('boxes');
  const output = reader.integer('output');
  const image = reader.list('image', 2) as unknown as [number, number];
  const channels = reader.integer('channels');
  const strides = [4, 8, 16, 32];
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

const nms: Maker = (reader) => {
  const number = reader.integer('boxes');
  const groupCount = reader.integer('groups', 1);
  const iouThreshold = reader.number('iou');
  const image = reader.list('image', 2) as unknown as [number, number];
  const groups = integers([1, number], groupCount, 11);
  return {
    inputs: [boxes(number, image, 9), fractions([1, number], 10)],
    features: [],
    record: ([box, score]) => ops.nms(box!, score!, { groups, iouThreshold, maxOutput: 1000 }).indices,
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

const fastNms: Maker = (reader) => {
  const number = reader.integer('boxes');
  const classes = reader.integer('classes');
  const iouThreshold = reader.number('iou');
  return {
    inputs: [relativeBoxes(number), fractions([1, number, classes], 10)],
    features: [],
    record: ([box, score]) => ops.fastNms(box!, score!, { iouThreshold }).indices,
  };
};

const topK: Maker = (reader) => {
  const input = reader.list('input', 2);
  const k = reader.integer('k');
  return { inputs: [noise(input, 1)], features: [], record: ([x]) => ops.topK(x!, { k }).indices };
};

function maskInputs(reader: ShapeReader): { inputs: Tensor[]; sizes: Tensor } {
  const number = reader.integer('masks');
  const side = reader.integer('side');
  const image = reader.list('image', 2) as unknown as [number, number];
  return {
    inputs: [fractions([1, number, side, side], 13), boxes(number, image, 9)],
    sizes: Tensor.from(Int32Array.from([...image, ...image]), [1, 4]),
  };
}

const pasteMasks: Maker = (reader) => {
  const { inputs, sizes } = maskInputs(reader);
  return { inputs, features: [], record: ([mask, box]) => ops.pasteMasks(mask!, box!, sizes).bits };
};

const pasteMasksRle: Maker = (reader) => {
  const { inputs, sizes } = maskInputs(reader);
  return { inputs, features: [], record: ([mask, box]) => ops.pasteMasksRle(mask!, box!, sizes).runs };
};

const assembleMasks: Maker = (reader) => {
  const prototypes = reader.list('input', 4);
  const number = reader.integer('masks');
  const relative = relativeBoxes(number);
  return {
    inputs: [noise(prototypes, 1), noise([1, number, prototypes[3]!], 2, 2)],
    features: [0],
    record: ([maps, coefficients]) => ops.assembleMasks(maps!, coefficients!, relative),
  };
};

const upsampleMasks: Maker = (reader) => {
  const [number, side] = [reader.integer('masks'), reader.integer('side')];
  const image = reader.list('image', 2) as unknown as [number, number];
  const sizes = Tensor.from(Int32Array.from([...image, ...image]), [1, 4]);
  return {
    inputs: [fractions([number, side, side, 1], 13)],
    features: [],
    record: ([masks]) => ops.upsampleMasks(masks!, sizes).bits,
  };
};

const resize: Maker = (reader) => {
  const input = reader.list('input', 4);
  const size = reader.list('size', 2) as unknown as [number, number];
  return { inputs: [noise(input, 1)], features: [0], record: ([x]) => ops.resize(x!, { size }) };
};

const maxPool2d: Maker = (reader) => {
  const input = reader.list('input', 4);
  const options = {
    kernel: reader.integer('kernel'),
    stride: reader.integer('stride', 1),
    padding: reader.integer('padding', 0),
  };
  return { inputs: [noise(input, 1)], features: [0], record: ([x]) => ops.maxPool2d(x!, options) };
};

const softmax: Maker = (reader) => {
  const input = reader.list('input', 2);
  return { inputs: [noise(input, 1, 8)], features: [0], record: ([x]) => ops.softmax(x!) };
};

const add: Maker = (reader) => {
  const input = reader.list('input', 4);
  return {
    inputs: [noise(input, 1), noise(input, 2)],
    features: [0, 1],
    record: ([a, b]) => ops.add(a!, b!, { activation: 'relu' }),
  };
};

const preprocess: Maker = (reader) => {
  const [height, width] = reader.list('image', 2) as unknown as [number, number];
  const resized = reader.list('resized', 2) as unknown as [number, number];
  const [paddedHeight, paddedWidth] = reader.list('padded', 2) as unknown as [number, number];
  const sizes = Tensor.from(Int32Array.from([height, width, ...resized]), [1, 4]);
  return {
    inputs: [Tensor.from(noiseImage(height, width), [height, width, 3])],
    features: [],
    record: ([image]) =>
      ops.preprocess([image!], sizes, {
        height: paddedHeight,
        width: paddedWidth,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
      }),
  };
};

const MAKERS: Readonly<Record<string, Maker>> = {
  conv2d,
  convTranspose2d,
  deformConv2d,
  linear,
  roiAlign,
  nms,
  fastNms,
  topK,
  pasteMasks,
  pasteMasksRle,
  assembleMasks,
  upsampleMasks,
  resize,
  maxPool2d,
  softmax,
  add,
  preprocess,
};

/** @throws InstasegError ERR_ARGUMENT naming the line of the shape file */
export function opCase(shape: ShapeCase): OpCase {
  const maker = Object.hasOwn(MAKERS, shape.op) ? MAKERS[shape.op] : undefined;
  if (!maker) {
    const known = Object.keys(MAKERS).join(', ');
    throw new InstasegError('ERR_ARGUMENT', `${shape.where}: expected one of ${known}, received "${shape.op}"`);
  }
  const reader = new ShapeReader(shape);
  const made = maker(reader);
  reader.finish();
  return { shape, ...made };
}

/**
 * Whatever goes wrong, a caller gets an InstasegError: every public function is called with arguments that are missing,
 * null or of a wrong type, at every place and in every option.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import * as instaseg from '../src/index.js';
import { Device, InstasegError, Mask, ops, Tensor, type SymbolicTensor } from '../src/index.js';

process.env['INSTASEG_OFFLINE'] = '1';
const folder = mkdtempSync(join(tmpdir(), 'instaseg-surface-'));
process.env['INSTASEG_CACHE'] = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const WRONG: readonly unknown[] = [
  ...[undefined, null, true, 1, -1, 0.5, Number.NaN, Infinity, 1e300, 10n, 'wrong', '', Symbol('wrong')],
  ...[[], [null], [1], ['x'], {}, { wrong: 1 }, new Map(), new Uint8Array(2), new Float64Array(4), () => undefined],
];

type Call = (...args: unknown[]) => unknown;

const isOptions = (value: unknown): value is Record<string, unknown> =>
  Object.getPrototypeOf(value ?? 0) === Object.prototype;

/** The arguments with one of them, or one option, replaced; and with less and less of them. */
function* wrongArguments(valid: readonly unknown[], spared: readonly unknown[] = []): Generator<unknown[]> {
  for (let length = 0; length < valid.length; length += 1) yield valid.slice(0, length);
  for (const wrong of WRONG) {
    for (const [i, value] of valid.entries()) {
      if (spared.includes(value) && typeof wrong === 'string') continue;
      yield valid.with(i, wrong);
      if (!isOptions(value)) continue;
      for (const name of Object.keys(value)) yield valid.with(i, { ...value, [name]: wrong });
    }
  }
}

const show = (name: string, args: readonly unknown[], error: unknown): string =>
  `${name}(${args.map((arg) => inspect(arg, { depth: 1, breakLength: Infinity })).join(', ')}): ${String(error)}`;

function refuses(name: string, args: readonly unknown[], error: unknown): string | undefined {
  return error instanceof InstasegError && error.code !== 'ERR_INTERNAL' ? undefined : show(name, args, error);
}

/** What a call threw, if it was not an InstasegError. A call may accept what it gets, too. */
async function problemOf(name: string, call: Call, args: readonly unknown[]): Promise<string | undefined> {
  try {
    const result = await call(...args);
    if (result instanceof Device || result instanceof instaseg.InstanceSegmenter) await result.dispose();
    return undefined;
  } catch (error) {
    return refuses(name, args, error);
  }
}

const f32 = (...shape: number[]): Tensor => Tensor.zeros(shape);
const i32 = (...shape: number[]): Tensor => Tensor.zeros(shape, 'i32');
const sizes = Tensor.from(Int32Array.of(4, 4, 4, 4), [1, 4]);
const counts = Tensor.from(Int32Array.of(1));
const window = { kernel: 2, stride: 2, padding: 0 };
const convolution = { stride: 1, padding: 1, dilation: 1, groups: 1, activation: 'relu', bias: f32(2) };
const summed = { scale: f32(2), residual: f32(1, 4, 4, 2) };
const statistics = { mean: [0, 0, 0], std: [1, 1, 1] };

/** Arguments that each op takes, with as many options as go together. */
const OPS: Record<keyof typeof ops, unknown[]> = {
  adaptivePool2d: [f32(1, 4, 4, 2), { output: 2, kind: 'avg', counts }],
  add: [f32(2), f32(2), { activation: 'relu' }],
  anchors: [{ grid: [2, 2], stride: [4, 4], base: [0, 0, 1, 1], offset: 0 }],
  assembleMasks: [f32(1, 4, 4, 2), f32(1, 3, 2), f32(1, 3, 4), { padding: 1, counts }],
  avgPool2d: [f32(1, 4, 4, 2), { ...window, ceilMode: false, countIncludePad: true, divisor: 2 }],
  batchNorm: [f32(2, 3), { mean: f32(3), variance: f32(3), weight: f32(3), bias: f32(3), epsilon: 0.1, counts }],
  boxIou: [f32(2, 4), f32(3, 4)],
  cast: [f32(2), 'i32'],
  clipBoxes: [f32(1, 3, 4), { size: [4, 4], counts }],
  concat: [[f32(1, 2), f32(3, 2)], { axis: 0 }],
  conv2d: [f32(1, 4, 4, 2), f32(2, 2, 3, 3), { ...convolution, ...summed, counts }],
  convTranspose2d: [f32(1, 4, 4, 2), f32(2, 2, 3, 3), { ...convolution, outputPadding: 0, counts }],
  decodeBoxes: [f32(1, 3, 4), f32(1, 3, 8), { weights: [1, 1, 1, 1], clip: 4, counts }],
  decodePriors: [f32(1, 3, 4), f32(3, 4), { indices: i32(1, 3), variances: [0.1, 0.2], counts }],
  deformConv2d: [
    ...[f32(1, 4, 4, 2), f32(2, 2, 3, 3), f32(1, 4, 4, 27)],
    { ...convolution, ...summed, packedMask: true, maskActivation: 'sigmoid' },
  ],
  fastNms: [
    ...[f32(1, 3, 4), f32(1, 3, 2)],
    { kind: 'fast', iouThreshold: 0.5, scoreThreshold: 0, topK: 9, maxOutput: 9, background: false, counts },
  ],
  filterBoxes: [
    ...[f32(1, 3, 4), f32(1, 3)],
    { classes: 1, background: -1, scoreThreshold: 0, minSize: 1, strictSize: true, capacity: 3, counts },
  ],
  finiteRows: [f32(1, 3, 4), f32(1, 3), { counts }],
  gatherRows: [f32(1, 3, 4), i32(1, 2), { counts }],
  gridSample: [f32(1, 4, 4, 2), f32(1, 3, 3, 2), { alignCorners: true }],
  linear: [f32(2, 3), f32(4, 3), { bias: f32(4), activation: 'relu', counts }],
  maxPool2d: [f32(1, 4, 4, 2), { ...window, dilation: 1, ceilMode: true }],
  maxPool2dWithIndices: [f32(1, 4, 4, 2), { ...window, dilation: 1, ceilMode: true }],
  maxUnpool2d: [f32(1, 2, 2, 2), i32(1, 2, 2, 2), { ...window, outputSize: [4, 4] }],
  multiply: [f32(2), f32(2)],
  nms: [f32(1, 3, 4), f32(1, 3), { iouThreshold: 0.5, groups: i32(1, 3), counts, maxOutput: 2 }],
  normalize: [f32(1, 4, 4, 3), { ...statistics, scale: 1, swapChannels: true }],
  pad: [f32(2), { before: [1], after: [1], value: 0 }],
  pasteMasks: [f32(1, 3, 4, 4), f32(1, 3, 4), sizes, { rule: 'torchvision', threshold: 0.5, counts }],
  pasteMasksRle: [f32(1, 3, 4, 4), f32(1, 3, 4), sizes, { rule: 'detectron2', threshold: 0.5, counts }],
  pasteSoftMasks: [f32(1, 3, 4, 4), f32(1, 3, 4), sizes, { rule: 'torchvision', counts }],
  preprocess: [
    ...[[f32(4, 4, 3)], sizes],
    { height: 4, width: 4, ...statistics, scale: 1, order: 'resizeFirst', swapInput: true, swapOutput: true },
  ],
  preprocessPillow: [[f32(4, 4, 3)], sizes, { height: 4, width: 4, ...statistics, swapChannels: true }],
  priors: [{ grid: [2, 2], maxSize: 550, scales: [24], ratios: [1], square: true }],
  relu: [f32(2), { negativeSlope: 0.1 }],
  resize: [f32(1, 4, 4, 2), { scale: 2, mode: 'bilinear', alignCorners: true, recomputeScale: true }],
  roiAlign: [
    ...[f32(1, 3, 4), [f32(1, 4, 4, 2), f32(1, 2, 2, 2)]],
    {
      ...{ output: 2, scales: [0.25, 0.125], samplingRatio: 2, aligned: true, canonicalScale: 224, canonicalLevel: 4 },
      ...{ minLevel: 2, levelRule: 'detectron2', levelEpsilon: 1e-8, counts },
    },
  ],
  scaleBoxes: [f32(1, 3, 4), sizes, { counts }],
  selectCandidates: [f32(1, 3, 4), { threshold: 0, capacity: 2 }],
  selectChannel: [f32(3, 4, 4, 2), i32(3), { activation: 'sigmoid', counts }],
  selectConv2d: [f32(3, 4, 4, 2), f32(5, 2, 1, 1), i32(3), { bias: f32(5), activation: 'sigmoid', counts }],
  sigmoid: [f32(2)],
  slice: [f32(2, 2), { begin: [0, 1], size: [2, 1] }],
  softmax: [f32(2, 3), { axis: 1, counts }],
  sort: [f32(2, 3), { descending: true }],
  tanh: [f32(2)],
  topK: [f32(1, 3), { k: 2, counts }],
  upsampleMasks: [f32(3, 4, 4, 1), sizes, { threshold: 0.5, counts }],
  upsampleSoftMasks: [f32(3, 4, 4, 1), sizes, { counts }],
  yolactBoxes: [f32(1, 3, 4), sizes, { padding: 1, counts }],
};

test('ops', async (t) => {
  t.deepEqual(Object.keys(OPS).toSorted(), Object.keys(ops).toSorted());
  const device = await Device.open('cpu', { threads: 1 });
  const problems: (string | undefined)[] = [];
  const refused = (name: string, call: Call, args: readonly unknown[], message: RegExp): void => {
    const error = t.throws(() => call(...args), { instanceOf: InstasegError }, `${name} ${String(message)}`);
    t.is(error.code, 'ERR_ARGUMENT');
    t.regex(error.message, message);
  };
  await device.run(() => {
    for (const [name, valid] of Object.entries(OPS)) {
      const call = ops[name as keyof typeof ops] as Call;
      t.notThrows(() => call(...valid), name);
      for (const args of wrongArguments(valid)) {
        try {
          call(...args);
        } catch (error) {
          problems.push(refuses(name, args, error));
        }
      }
      const options = valid.at(-1);
      if (!isOptions(options)) continue;
      const withOption = (key: string, value: unknown): unknown[] => valid.with(-1, { ...options, [key]: value });
      refused(name, call, withOption('wrong', 1), new RegExp(`^${name} has no option "wrong"; there are `));
      refused(
        name,
        call,
        valid.with(-1, null),
        new RegExp(`^the options of ${name} must be an object; received null$`),
      );
      for (const [key, value] of Object.entries(options)) {
        if (typeof value !== 'boolean') continue;
        refused(name, call, withOption(key, 1), new RegExp(`^${key} must be true or false; received 1$`));
      }
    }
    return ops.relu(f32(1));
  });
  t.deepEqual([...new Set(problems)].filter(Boolean), []);
  await device.dispose();
});

const rle = { size: [2, 2], counts: [1, 3] };
const box = [0, 0, 1, 1];
const dataset = { images: [], annotations: [], categories: [] };
const overrides = { model: 'm', classNames: ['a'], batchNormEpsilon: 0.1, image: {} };
const missing = join(folder, 'missing.safetensors');
const target = join(folder, 'target.safetensors');
const tensor = { name: 'a', dtype: 'f32', shape: [1], read: () => [new Uint8Array(4)] };

/** Arguments of every function that takes some; those of loading end at a file that is not there. */
const FUNCTIONS: Record<string, unknown[]> = {
  boxIou: [[box], [box], [false]],
  cacheDirectory: [folder],
  convertCheckpoint: [missing, target, { ...overrides, dtype: 'f16', sha256: '12345678', onProgress: () => undefined }],
  configToMetadata: [{ family: 'yolact' }],
  decodeImage: [{ data: new Uint8Array(3), width: 1, height: 1, channels: 3 }, { applyOrientation: true }],
  detectron2Tensors: [{ family: 'detectron2' }],
  evaluateCoco: [
    dataset,
    [],
    {
      ...{ iouType: 'bbox', useCategories: true, maxDets: [1, 10, 100], areaRanges: [{ name: 'all', min: 0, max: 9 }] },
      ...{ iouThresholds: [0.5], imageIds: [], categoryIds: [], pycocotoolsFields: false, matches: false },
    },
  ],
  inspectCheckpoint: [missing, { hash: true, sha256: '12345678' }],
  load: [
    missing,
    {
      ...overrides,
      ...{ device: 'cpu', threads: 1, isa: 'baseline', variant: 'reference', memoryLimit: 1e9, precision: 'f32' },
      ...{ maxQueue: 1, maxBatch: 1, planCacheBytes: 1, cacheDir: folder, offline: true, mirror: 'http://localhost' },
      ...{ sha256: '12345678', onDownload: () => undefined, signal: new AbortController().signal },
    },
  ],
  loadCocoDataset: [missing],
  loadCocoResults: [missing],
  mergeRle: [[rle], { intersect: true }],
  objectNames: [{ family: 'torchvision' }],
  parseCocoDataset: [dataset, 'source'],
  pullWeights: [
    'maskrcnn_resnet50_fpn',
    { cacheDir: folder, offline: true, mirror: '', timeout: 1, retries: 0, onProgress: () => undefined },
  ],
  reshape: [f32(2), [2]],
  rleArea: [rle],
  rleFromBox: [box, 2, 2],
  rleFromPolygons: [[[0, 0, 1, 0, 1, 1]], 2, 2],
  rleIou: [[rle], [rle], [false]],
  rleToBbox: [rle],
  seededWeights: [new Map([['a', [1]]]), 1, [['a', 1, 0]]],
  torchvisionTensors: [{ family: 'torchvision' }],
  writeSafetensors: [target, [tensor], { key: 'value' }, { onTensor: () => undefined }],
  yolactTensors: [{ family: 'yolact' }],
};
const WITHOUT_ARGUMENTS = ['diagnostics', 'listDevices', 'listKernels', 'listZoo'];
const WITH_OPTIONS = 'convertCheckpoint decodeImage evaluateCoco inspectCheckpoint load mergeRle pullWeights'.split(
  ' ',
);

test('functions', async (t) => {
  const exported = Object.entries(instaseg as Record<string, unknown>);
  const isClass = (value: unknown): boolean => /^class\b/.test(String(value));
  const names = exported.filter(([, value]) => typeof value === 'function' && !isClass(value)).map(([name]) => name);
  t.deepEqual(names.toSorted(), [...Object.keys(FUNCTIONS), ...WITHOUT_ARGUMENTS].toSorted());
  const problems: (string | undefined)[] = [];
  for (const [name, valid] of Object.entries(FUNCTIONS)) {
    const call = (instaseg as unknown as Record<string, Call>)[name]!;
    // A file that is written may not get any name.
    for (const args of wrongArguments(valid, [target])) problems.push(await problemOf(name, call, args));
  }
  t.deepEqual([...new Set(problems)].filter(Boolean), []);
  for (const name of [...WITH_OPTIONS, 'writeSafetensors']) {
    const call = (instaseg as unknown as Record<string, Call>)[name]!;
    const valid = FUNCTIONS[name]!;
    const args = valid.with(-1, { ...(valid.at(-1) as object), wrong: 1 });
    const error = await t.throwsAsync(async () => await call(...args), { instanceOf: InstasegError });
    t.is(error.code, 'ERR_ARGUMENT', name);
    t.regex(error.message, new RegExp(`^${name} has no option "wrong"; there are `));
  }
});

async function checkMethods(t: ExecutionContext, calls: Record<string, [Call, unknown[]]>): Promise<void> {
  const problems: (string | undefined)[] = [];
  for (const [name, [call, valid]] of Object.entries(calls)) {
    for (const args of wrongArguments(valid)) problems.push(await problemOf(name, call, args));
  }
  t.deepEqual([...new Set(problems)].filter(Boolean), []);
}

test('devices, plans and tensors', async (t) => {
  const device = await Device.open('cpu', { threads: 1 });
  const plan = await device.compile([{ dtype: 'f32', shape: [2] }], (x) => ops.relu(x));
  const body = (x: unknown): SymbolicTensor => ops.relu((x as SymbolicTensor | undefined) ?? f32(2));
  const spec = { dtype: 'f32', shape: [2] };
  await checkMethods(t, {
    'Device.open': [Device.open as Call, ['cpu', { threads: 1, isa: 'baseline', variant: 'x', memoryLimit: 1e9 }]],
    'device.run': [
      device.run.bind(device) as Call,
      [() => body(undefined), { profile: true, onProfile: () => undefined, signal: new AbortController().signal }],
    ],
    'device.compile': [device.compile.bind(device) as Call, [[spec], body, { variant: 'x' }]],
    'device.constant': [device.constant.bind(device) as Call, ['f32', [2], 'name']],
    'Tensor.from': [Tensor.from as Call, [new Float32Array(2), [2], 'f32']],
    'Tensor.zeros': [Tensor.zeros as Call, [[2], 'f32']],
  });
  for (const shape of [[1e6, 1e6], [2 ** 40]]) {
    t.is(t.throws(() => Tensor.zeros(shape), { instanceOf: InstasegError }).code, 'ERR_OUT_OF_MEMORY');
  }
  plan.dispose();
  for (const read of [() => plan.steps, () => plan.arenaBytes, () => plan.bytes]) {
    t.is(t.throws(read, { instanceOf: InstasegError }).code, 'ERR_DISPOSED');
  }
  await device.dispose();
});

test('masks', async (t) => {
  const mask = Mask.fromRLE(rle as never);
  const image = { data: new Uint8Array(12), width: 2, height: 2, channels: 3 };
  const bits = { imageWidth: 2, imageHeight: 2, region: { x: 0, y: 0, width: 1, height: 1 }, words: Uint32Array.of(1) };
  await checkMethods(t, {
    Mask: [(value) => new Mask(value as never), [bits]],
    'Mask.fromRLE': [Mask.fromRLE as Call, [rle]],
    'Mask.fromBitmap': [Mask.fromBitmap as Call, [{ data: new Uint8Array(4), width: 2, height: 2 }]],
    'mask.at': [mask.at.bind(mask) as Call, [0, 0]],
    'mask.toBitmap': [mask.toBitmap.bind(mask) as Call, [{ crop: true }]],
    'mask.toPolygons': [mask.toPolygons.bind(mask) as Call, [{ simplify: 1, holes: true }]],
    'mask.toGeoJSON': [mask.toGeoJSON.bind(mask) as Call, [{ simplify: 1, holes: true }]],
    'mask.cutout': [mask.cutout.bind(mask) as Call, [image, { crop: true }]],
  });
});

test('models', async (t) => {
  const model = await instaseg.load('maskrcnn_demo', { device: 'cpu', threads: 1 });
  const image = { data: new Uint8Array(3), width: 1, height: 1, channels: 3 };
  const result = await model.segment(image as never);
  const options = {
    ...{ scoreThreshold: 0.5, nmsThreshold: 0.5, maxDetections: 1, maskThreshold: 0.5, minSize: 32, maxSize: 32 },
    ...{ preNmsTopN: 1, postNmsTopN: 1, rpnNmsThreshold: 0.5, applyOrientation: true, imageId: 1 },
  };
  const drawing = { masks: true, contours: true, boxes: true, labels: true, opacity: 1, colorBy: 'class' };
  const lines = { lineWidth: 1, fontSize: 10 };
  const all = async (images: unknown, given?: unknown): Promise<void> => {
    for await (const found of model.stream(images as never, given as never)) t.truthy(found);
  };
  await checkMethods(t, {
    'model.segment': [model.segment.bind(model) as Call, [image, { ...options, profile: true }]],
    'model.segment([])': [model.segment.bind(model) as Call, [[image], { ...options, padTogether: true }]],
    'model.stream': [all, [[image], { ...options, maxInFlight: 1 }]],
    'model.checkOptions': [model.checkOptions.bind(model) as Call, [{ ...options, profile: true }]],
    'result.overlay': [async (given) => result.overlay(given as never).toBuffer(), [{ ...drawing, ...lines }]],
    'overlay.toBuffer': [async (format) => result.overlay().toBuffer(format as never), ['png']],
    'overlay.toFile': [async (path) => result.overlay().toFile(path as never), [join(folder, 'x.png')]],
  });
  const refused = async (call: () => unknown, message: RegExp): Promise<void> => {
    const error = await t.throwsAsync(async () => await call(), { instanceOf: InstasegError });
    t.is(error.code, 'ERR_ARGUMENT');
    t.regex(error.message, message);
  };
  const typo = { scoreTreshold: 0.5 } as object;
  await refused(() => model.segment(image as never, typo), /^segment has no option "scoreTreshold"; there are scoreTh/);
  await refused(() => model.segment([image as never], typo), /^segment\(\[\.\.\.\]\) has no option "scoreTreshold"/);
  await refused(() => all([image], typo), /^stream has no option "scoreTreshold"/);
  await refused(() => model.checkOptions(typo), /^segment has no option "scoreTreshold"/);
  await refused(() => result.overlay({ colorBy: 'foo' as never }).toBuffer(), /^colorBy must be one of "instance", "c/);
  await model.dispose();
  const loaded = (options: object): Promise<unknown> => instaseg.load('maskrcnn_demo', options);
  await refused(() => loaded({ precison: 'f16' }), /^load has no option "precison"; there are /);
  await refused(() => loaded({ image: 5 }), /^image must be an object; received 5$/);
  await refused(() => loaded({ image: { antialias: true } }), /antialias/);
});

import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { ExecutionContext, TestFn } from 'ava';
import { type ErrorCode, InstasegError } from '../../src/runtime/errors.js';
import type { Checkpoint } from '../../src/weights/checkpoint.js';
import type { MaskRcnnConfig, YolactConfig } from '../../src/weights/families/config.js';
import { inferTorchvision, torchvisionTensors } from '../../src/weights/families/torchvision.js';
import { inferYolact, yolactTensors } from '../../src/weights/families/yolact.js';
import type { TensorSource } from '../../src/weights/safetensors.js';

/** The root of the repository; tests run from dist/test/weights. */
const ROOT = path.resolve(__dirname, '../../..');

export const fixture = (name: string): string => path.join(ROOT, 'ts/test/fixtures/checkpoints', name);

export const readJson = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T;

/** torchvision's own names and shapes, written by scripts/reference/make_test_checkpoints.py. */
export const torchvisionLists = readJson<{
  models: Record<'maskrcnn_resnet50_fpn' | 'maskrcnn_resnet50_fpn_v2', Record<string, number[]>>;
  digests: Record<string, string>;
}>(path.join(ROOT, 'ts/test/weights/torchvision-tensors.json'));

/** dbolya/yolact's own names and shapes, as `Yolact().state_dict()` lists them. */
export const yolactLists = readJson<{
  models: Record<'yolact_plus_resnet50' | 'yolact_darknet53', Record<string, number[]>>;
  /** Of other models: SHA-256 of the lines "name: shape", without counters and without `semantic_seg_conv`. */
  digests: Record<string, string>;
}>(path.join(ROOT, 'ts/test/weights/yolact-tensors.json'));

const REFERENCE = path.resolve(ROOT, '../shared/reference');

export const reference = (name: string): string => path.join(REFERENCE, name);

/** `test`, or where the reference data are not there `test.skip` with the reason in the title. */
export function referenceTest(test: TestFn, title: string, body: (t: ExecutionContext) => void | Promise<void>): void {
  if (existsSync(REFERENCE)) test(title, body);
  else test.skip(`${title} (skipped: ../shared/reference is not there)`, body);
}

/** Runs `body` with a new folder, which is removed afterwards. */
export async function withFolder<T>(body: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-weights-'));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs `body` with a file of these bytes. */
export const withFile = <T>(bytes: Uint8Array | string, body: (file: string) => Promise<T>): Promise<T> =>
  withFolder((folder) => {
    const file = path.join(folder, 'file');
    writeFileSync(file, bytes);
    return body(file);
  });

/** The error that an action throws or rejects with. */
export async function failure(action: () => unknown): Promise<InstasegError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof InstasegError) return error;
    throw error;
  }
  throw new Error('Expected an InstasegError, nothing was thrown');
}

/** "CODE" of the error, with the pattern that its message has to match checked. */
export async function failsWith(action: () => unknown, code: ErrorCode, message: RegExp): Promise<void> {
  const error = await failure(action);
  if (error.code !== code || !message.test(error.message)) {
    throw new Error(`Expected ${code} and ${message}, received ${error.code}: ${error.message}`);
  }
}

export async function readAll(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A tensor as the Python scripts describe it. */
export interface ExpectedTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

const DTYPES: Readonly<Record<string, string>> = {
  f64: 'float64',
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
  i64: 'int64',
  i32: 'int32',
  i16: 'int16',
  i8: 'int8',
  u8: 'uint8',
  bool: 'bool',
};

/** What scripts/reference/make_test_checkpoints.py says about the fixtures that can be read. */
export const expectedCheckpoints = readJson<
  Record<string, { readonly format: string; readonly tensors: Record<string, ExpectedTensor> }>
>(fixture('expected.json'));

/** Every tensor of a checkpoint, read and hashed, in the form of `ExpectedTensor`. */
export async function describeAll(checkpoint: Checkpoint): Promise<Record<string, ExpectedTensor>> {
  const found: Record<string, ExpectedTensor> = {};
  for (const [name, { dtype, shape }] of checkpoint.tensors) {
    const bytes = await readAll(checkpoint.read(name));
    found[name] = { dtype: DTYPES[dtype] as string, shape, sha256: sha256(bytes) };
  }
  return found;
}

export const floats = (name: string, shape: number[], values: number[]): TensorSource => ({
  name,
  dtype: 'f32',
  shape,
  read: () => [new Uint8Array(new Float32Array(values).buffer)],
});

export const asTensors = (shapes: Record<string, number[]>): Map<string, { dtype: 'f32'; shape: number[] }> =>
  new Map(Object.entries(shapes).map(([name, shape]) => [name, { dtype: 'f32', shape }]));

/** Names and shapes as `inferTorchvision` takes them. */
export const publishedTensors = (model: keyof typeof torchvisionLists.models): ReturnType<typeof asTensors> =>
  asTensors(torchvisionLists.models[model]);

/** A whole Mask R-CNN of a few kilobytes, in either architecture. */
export function slimConfig(
  model: 'maskrcnn_resnet50_fpn' | 'maskrcnn_resnet50_fpn_v2',
  numClasses = 3,
): MaskRcnnConfig {
  const full = inferTorchvision(publishedTensors(model)) as MaskRcnnConfig;
  const head = full.box.head;
  const slim: MaskRcnnConfig = {
    ...full,
    numClasses,
    backbone: { ...full.backbone, blocks: [1, 2, 1, 1], stem: 2, widths: [2, 2, 4, 4], outputs: [4, 6, 8, 10] },
    fpn: { ...full.fpn, channels: 4 },
    roiAlign: { ...full.roiAlign, boxSize: 3 },
    box: { ...full.box, head: head.kind === 'fc' ? { ...head, fcs: [8, 6] } : { ...head, convs: [4, 5], fcs: [8] } },
    mask: { ...full.mask, convs: [4, 3], predictor: 2 },
  };
  return inferTorchvision(
    new Map([...torchvisionTensors(slim)].map(([name, shape]) => [name, { shape }])),
  ) as MaskRcnnConfig;
}

export type YolactModel = 'yolact_resnet50' | 'yolact_base' | 'yolact_plus_resnet50' | 'yolact_plus_base';

/** The configuration that the tensors of a configuration give. */
export const inferredAgain = (config: YolactConfig): YolactConfig =>
  inferYolact(asTensors(Object.fromEntries(yolactTensors(config)))) as YolactConfig;

const YOLACT_PLUS = inferYolact(asTensors(yolactLists.models.yolact_plus_resnet50)) as YolactConfig;

/** A published YOLACT, from the list of `yolact_plus_resnet50`: what differs is replaced, and the rest inferred again. */
export function yolactConfig(model: YolactModel): YolactConfig {
  const { backbone, head, anchors, mask } = YOLACT_PLUS;
  if (backbone.kind !== 'resnet') throw new Error('Expected a ResNet');
  const plus = model.includes('plus');
  const blocks = model.endsWith('base') ? [3, 4, 23, 3] : [3, 4, 6, 3];
  const interval = model.endsWith('base') ? 3 : 1;
  const deformable = blocks.map((count, stage) =>
    Array.from({ length: count }, (_, i) => plus && stage > 0 && i % interval === 0),
  );
  return inferredAgain({
    ...YOLACT_PLUS,
    backbone: { ...backbone, blocks, deformable },
    head: { ...head, anchorsPerCell: plus ? 9 : 3 },
    anchors: plus ? anchors : { ...anchors, scales: anchors.scales.map(([scale]) => [scale as number]) },
    mask: { ...mask, rescore: plus ? mask.rescore : null },
  });
}

/** A whole YOLACT of a few kilobytes: ResNet-50's kind of blocks, with or without what makes it a YOLACT++. */
export function slimYolact(plus: boolean, numClasses = 3): YolactConfig {
  const full = yolactConfig(plus ? 'yolact_plus_resnet50' : 'yolact_resnet50');
  if (full.backbone.kind !== 'resnet') throw new Error('Expected a ResNet');
  return inferredAgain({
    ...full,
    numClasses,
    backbone: {
      ...full.backbone,
      ...{ blocks: [1, 2, 2, 1], stem: 2, widths: [2, 2, 4, 4], outputs: [4, 6, 8, 10] },
      deformable: [[false], [plus, false], [plus, plus], [false]],
    },
    fpn: { ...full.fpn, channels: 4 },
    protonet: {
      ...full.protonet,
      layers: [
        { kind: 'conv', channels: 5, kernel: 3 },
        { kind: 'upsample' },
        { kind: 'conv', channels: 6, kernel: 3 },
        { kind: 'conv', channels: 2, kernel: 1 },
      ],
    },
    head: { ...full.head, upfeature: [5, 6], coefficients: 2 },
    mask: { ...full.mask, rescore: plus ? { convs: [2, 3] } : null },
  });
}

/** What a forged zip entry states about itself instead of the truth. */
export interface ForgedEntry {
  readonly name: string;
  readonly data: Buffer;
  readonly flags?: number;
  readonly method?: number;
  readonly size?: number;
  /** Bytes in the archive. */
  readonly packed?: number;
  readonly checksum?: number;
}

/** A zip archive of stored entries, or of whatever they claim to be. */
export function forgeZip(entries: readonly ForgedEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const {
      name,
      data,
      flags = 0,
      method = 0,
      size = data.length,
      packed = data.length,
      checksum = crc32(data),
    } = entry;
    // From "version needed" to the lengths of name and extra field, which both kinds of header share.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(checksum, 10);
    common.writeUInt32LE(packed, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\0'), common, rest, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listing, end]);
}

/** Runs cases and says how each of them came out. Shared by the command and by the tests. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Device } from '../../src/index.js';
import { decodeImage } from '../../src/image/decode.js';
import { resizedShortestEdge, resizedSize } from '../../src/nn/resized-size.js';
import {
  isDetectron2File,
  isModelFile,
  isYolactFile,
  readTensors,
  type CaseFolder,
  type ModelFile,
  type OpFile,
  type YolactFile,
} from './case-files.js';
import { failed, worstOf, type Comparison } from './compare.js';
import { detectron2Differences, detectron2Settings } from './detectron2-settings.js';
import { compareResult } from './end-to-end.js';
import { modelSettings } from './model-config.js';
import { compareStages, type StageResult } from './model-stages.js';
import { OpCase } from './op-case.js';
import { OPS } from './ops-table.js';
import { SeededModels, type SeededModel } from './seeded-models.js';
import { MODELS, type ModelName } from './state-dict.js';
import { compareYolactResult } from './yolact-end-to-end.js';
import { findDifferences, yolactSettings } from './yolact-settings.js';
import { compareYolactStages } from './yolact-stages.js';

/** `later` are folders of reference data that this runner does not read. */
export type Status = 'ok' | 'FAIL' | 'later';

/** One line of the report. */
export interface CaseResult {
  readonly name: string;
  readonly status: Status;
  readonly difference: number;
  readonly allowed: number;
  readonly note?: string;
}

function toResult(name: string, { difference, allowed, ok, note }: Comparison): CaseResult {
  return { name, status: ok ? 'ok' : 'FAIL', difference, allowed, ...(note !== undefined && { note }) };
}

/** What a case that threw says. */
function broken(name: string, error: unknown): CaseResult {
  return toResult(name, failed(error instanceof Error ? `${error.name}: ${error.message}` : String(error)));
}

/** Whether the loader found the configuration that a case was computed with. */
function configuration(name: string, different: readonly string[]): CaseResult {
  return toResult(
    `${name} configuration`,
    different.length > 0 ? failed(different.join('; ')) : { difference: 0, allowed: 0, ok: true },
  );
}

/** The weights of a Mask R-CNN: by the name of torchvision's builder, or by the tensors that the case lists. */
function seededModel(file: ModelFile): SeededModel {
  if (isDetectron2File(file)) return file;
  if (!MODELS.includes(file.model as ModelName)) throw new Error(`unknown model "${file.model}"`);
  const { num_classes, seed, rules } = file;
  return { model: file.model as ModelName, num_classes, seed, rules };
}

export class Runner {
  readonly #device: Device;
  readonly #models: SeededModels;

  constructor(device: Device) {
    this.#device = device;
    this.#models = new SeededModels(device);
  }

  /** Frees what the cases left, not the device. */
  close(): Promise<void> {
    return this.#models.close();
  }

  /** The lines of one case: one a sub-case of an operator, one a stage of a model. */
  async *run(found: CaseFolder): AsyncGenerator<CaseResult, void, undefined> {
    const { name, file } = found;
    try {
      if (isYolactFile(file)) yield* this.#runYolact(found, file);
      else if (isModelFile(file)) yield* this.#runModel(found, file);
      else yield* this.#runOps(found, file);
    } catch (error) {
      yield broken(name, error);
    }
  }

  async *#runOps(found: CaseFolder, file: OpFile): AsyncGenerator<CaseResult, void, undefined> {
    if (file.op === 'resize_sizes') {
      yield* resizeSizes(found.name, file);
      return;
    }
    const family = OPS[file.op];
    if (!family) throw new Error(`unknown op "${file.op}"`);
    const tensors = readTensors(found);
    if (!file.tolerances || !file.cases?.length) throw new Error('case.json has no tolerances or no cases');
    for (const subCase of file.cases) {
      const name = `${found.name} ${subCase.name}`;
      try {
        const running = new OpCase(this.#device, file.tolerances, subCase, tensors);
        await family(subCase.name)(running);
        const { note = running.note, ...worst } = worstOf(running.finish());
        yield toResult(name, { ...worst, ...(note !== undefined && { note }) });
      } catch (error) {
        yield broken(name, error);
      }
    }
  }

  async *#runModel(found: CaseFolder, file: ModelFile): AsyncGenerator<CaseResult, void, undefined> {
    const settings = isDetectron2File(file) ? detectron2Settings(file) : modelSettings(file.config);
    const seeded = seededModel(file);
    const tensors = readTensors(found);
    const images = file.images.map((image) => path.resolve(found.folder, image));
    const line = ({ stage, ...comparison }: StageResult): CaseResult => toResult(`${found.name} ${stage}`, comparison);

    for (const [i, image] of images.entries()) yield line(await resizedImage(file, image, i));
    const model = await this.#models.get(seeded, settings.load);
    if (isDetectron2File(file)) {
      yield configuration(found.name, detectron2Differences(model.config, file));
    }
    for (const stage of await compareStages(model, this.#device, file, tensors, images, settings.call)) {
      yield line(stage);
    }
    if (images.length === 1) {
      const result = await model.segment(images[0]!, settings.call);
      yield* compareResult(result, file, tensors, 0).map(line);
      return;
    }
    const results = await model.segment(images, { ...settings.call, padTogether: true });
    for (const [i, settled] of results.entries()) {
      if (settled.status === 'rejected') yield broken(`${found.name} segment.${i}`, settled.reason);
      else yield* compareResult(settled.value, file, tensors, i).map(line);
    }
  }

  async *#runYolact(found: CaseFolder, file: YolactFile): AsyncGenerator<CaseResult, void, undefined> {
    const settings = yolactSettings(file);
    const tensors = readTensors(found);
    if (file.images.length !== 1) throw new Error('a case of YOLACT has one image');
    const image = path.resolve(found.folder, file.images[0]);
    const line = ({ stage, ...comparison }: StageResult): CaseResult => toResult(`${found.name} ${stage}`, comparison);

    yield line(await decodedImage(file, image, 0));
    const model = await this.#models.get(file, settings.load);
    yield configuration(found.name, findDifferences(model.config, file));
    for (const stage of await compareYolactStages(model, this.#device, file, tensors, image, settings.call)) {
      yield line(stage);
    }
    yield* compareYolactResult(await model.segment(image, settings.call), file, tensors).map(line);
  }
}

/** The pixels that everything else depends on. */
async function decodedImage(
  file: Pick<ModelFile, 'image_sha256_rgb' | 'image_shapes'>,
  image: string,
  index: number,
): Promise<StageResult> {
  const stage = `decoded.${index}`;
  const { data, width, height } = await decodeImage(image);
  const digest = createHash('sha256').update(data).digest('hex');
  const expected = file.image_sha256_rgb[index];
  if (digest !== expected) return { stage, ...failed(`the pixels have the SHA-256 ${digest}, expected ${expected}`) };
  const [h, w] = file.image_shapes[index]!;
  if (height !== h || width !== w) return { stage, ...failed(`the size is ${height}x${width}, expected ${h}x${w}`) };
  return { stage, difference: 0, allowed: 0, ok: true, note: 'equal pixels (SHA-256)' };
}

/** Pixels, and the size that Mask R-CNN resizes them to. */
async function resizedImage(file: ModelFile, image: string, index: number): Promise<StageResult> {
  const decoded = await decodedImage(file, image, index);
  const [height, width] = file.image_shapes[index]!;
  const resize = isDetectron2File(file) ? resizedShortestEdge : resizedSize;
  const size = resize(
    { width, height },
    { minSize: file.config['min_size'] as number, maxSize: file.config['max_size'] as number },
  );
  const [h, w] = file.transformed_sizes[index]!;
  if (!decoded.ok || (size.height === h && size.width === w)) return decoded;
  return {
    stage: decoded.stage,
    ...failed(`the resized size is ${size.height}x${size.width}, expected ${h}x${w}`),
  };
}

/** The sizes of newer torchvision (0.28), which are the last two columns. */
function* resizeSizes(name: string, file: OpFile): Generator<CaseResult, void, undefined> {
  const { rows } = file;
  if (!rows?.length) throw new Error('resize_sizes has no rows');
  const wrong = rows.flatMap(([height, width, minSize, maxSize, , , newHeight, newWidth]) => {
    const size = resizedSize({ height: height!, width: width! }, { minSize: minSize!, maxSize: maxSize! });
    return size.height === newHeight && size.width === newWidth
      ? []
      : [
          `${height}x${width} at ${minSize}/${maxSize} gives ${size.height}x${size.width}, not ${newHeight}x${newWidth}`,
        ];
  });
  const result = { difference: wrong.length, allowed: 0, ok: wrong.length === 0 };
  yield toResult(name, { ...result, note: wrong[0] ?? `${rows.length} sizes` });
}

/** A model run over the images of a COCO data set. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  InstasegError,
  type CocoDataset,
  type CocoImage,
  type CocoResult,
  type InstanceSegmenter,
  type ErrorCode,
  type SegmentationResult,
  type SegmentOptions,
} from '../index.js';
import { CommandFailure, EXIT, step, type ExitCode } from './exit.js';
import { openJson } from './json-output.js';
import type { ModelFlags } from './options.js';
import { keyOf, openPartialResults, type PartialResults } from './partial-results.js';
import type { Context } from './program.js';

/** The flags that say how the model is run. */
export interface RunFlags
  extends
    ModelFlags,
    Pick<
      SegmentOptions,
      'scoreThreshold' | 'nmsThreshold' | 'maskThreshold' | 'maxDetections' | 'minSize' | 'maxSize' | 'nms'
    > {
  readonly ignoreOrientation?: boolean;
  readonly saveResults?: string;
  readonly maxImages?: number;
}

export interface DatasetRun extends RunFlags {
  readonly annotations: string;
  readonly imageFolder: string;
  readonly weights: string;
}

/** Errors that every other image would end with too. */
const HOPELESS: { readonly [code in ErrorCode]?: ExitCode } = {
  ERR_ARGUMENT: EXIT.usage,
  ERR_CUDA_FATAL: EXIT.model,
  ERR_DEVICE_UNAVAILABLE: EXIT.model,
};

/** The images of a data set by ascending id, `count` of them where it is given. */
export function firstImages({ images }: CocoDataset, count?: number): CocoImage[] {
  return images.toSorted((a, b) => a.id - b.id).slice(0, count);
}

/**
 * Runs the model over the images, reporting those that fail. With `saveResults` the results are written there when all
 * is done, and image by image beside it before.
 */
export async function runOverDataset(
  model: InstanceSegmenter,
  dataset: CocoDataset,
  run: DatasetRun,
  { terminal, signal }: Context,
): Promise<{ results: CocoResult[]; failed: number[] }> {
  const { scoreThreshold, nmsThreshold, maskThreshold, maxDetections, minSize, maxSize, nms } = run;
  const options = {
    ...{ scoreThreshold, nmsThreshold, maskThreshold, maxDetections, minSize, maxSize, nms },
    applyOrientation: run.ignoreOrientation !== true,
  };
  const images = firstImages(dataset, run.maxImages);
  const key = await step(EXIT.failed, keyOfRun(run, options));
  const kept = await step(EXIT.failed, openPartialResults(run.saveResults, key));
  try {
    const waiting = images.filter(({ id }) => !kept.done.has(id));
    if (waiting.length < images.length) {
      terminal.error(`going on after ${images.length - waiting.length} of ${images.length} images, from ${kept.path}`);
    }
    const segment = (image: CocoImage): Promise<SegmentationResult> => {
      const path = join(run.imageFolder, requireFileName(dataset, image));
      return model.segment(path, { ...options, imageId: image.id, signal });
    };
    const progress = terminal.progress(images.length, '{bar} {value} / {total} images, {eta_formatted} left');
    const failed: number[] = [];
    try {
      for await (const [image, running] of oneAhead(waiting, segment)) {
        try {
          const result = await running;
          requireSize(image, result);
          await step(EXIT.failed, kept.add(image.id, result.toJSON()));
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof CommandFailure) throw error;
          const exitCode = error instanceof InstasegError ? HOPELESS[error.code] : undefined;
          if (exitCode !== undefined) throw new CommandFailure(exitCode, error);
          failed.push(image.id);
          terminal.report(error, image.fileName);
        }
        progress.update(kept.done.size + failed.length);
      }
    } finally {
      progress.stop();
      if (signal.aborted && kept.path !== undefined) {
        const count = images.filter(({ id }) => kept.done.has(id)).length;
        terminal.error(`${count} of ${images.length} images are kept in ${kept.path}: the same command goes on there`);
      }
    }
    const results = images.flatMap(({ id }) => kept.done.get(id) ?? []);
    if (run.saveResults !== undefined) await save(run.saveResults, results, terminal);
    // Failed images are tried again by the same command.
    if (failed.length === 0) await finish(kept);
    return { results, failed };
  } finally {
    await kept.close();
  }
}

function requireFileName({ source }: CocoDataset, { id, fileName }: CocoImage): string {
  if (fileName !== undefined) return fileName;
  throw new InstasegError('ERR_ARGUMENT', `image ${id} of ${source} has no file_name`);
}

function requireSize(image: CocoImage, { width, height }: SegmentationResult): void {
  if (image.width === width && image.height === height) return;
  throw new InstasegError(
    'ERR_IMAGE',
    `the image is ${width}x${height}, the annotations say ${image.width}x${image.height}` +
      (image.width === height && image.height === width ? ': try --ignore-orientation' : ''),
  );
}

/** Kept results belong to a model, a data set and options; not to the number of images, threads or the device. */
async function keyOfRun(
  { weights, annotations, classNames, model, precision }: DatasetRun,
  options: object,
): Promise<string> {
  // A model that goes by its name is no file of the caller's.
  const size = async (path: string): Promise<number | undefined> => (await stat(path).catch(() => undefined))?.size;
  const file = async (path: string): Promise<object> => ({ name: basename(path), size: await size(path) });
  return keyOf({
    weights: await file(weights),
    annotations: await file(annotations),
    options: { ...options, classNames, model, precision },
  });
}

async function save(path: string, results: readonly CocoResult[], terminal: Context['terminal']): Promise<void> {
  const json = await step(EXIT.failed, openJson(path, terminal));
  try {
    await step(EXIT.failed, json.add(results));
    await step(EXIT.failed, json.finish());
  } finally {
    await json.discard();
  }
}

async function finish(kept: PartialResults): Promise<void> {
  await kept.close();
  await kept.remove();
}

/** Each item with what `work` makes of it, in order; the next one is under way meanwhile. */
async function* oneAhead<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): AsyncGenerator<[T, Promise<R>], void, undefined> {
  const begin = async (item: T): Promise<R> => work(item);
  let next: Promise<R> | undefined;
  try {
    for (let i = 0; i < items.length; i++) {
      const current = next ?? begin(items[i]!);
      next = i + 1 < items.length ? begin(items[i + 1]!) : undefined;
      next?.catch(() => undefined); // seen in its turn
      yield [items[i]!, current];
    }
  } finally {
    await Promise.allSettled([next]);
  }
}

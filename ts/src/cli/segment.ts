/** instaseg segment: images in; a table, COCO JSON and drawings out. */
import { Option } from 'commander';
import { InstasegError, type InstanceSegmenter, type SegmentOptions } from '../index.js';
import { CommandFailure, EXIT, step, usageError, type ExitCode } from './exit.js';
import { openJson, type JsonOutput } from './json-output.js';
import { loadModel } from './load-model.js';
import { addModelOptions, fraction, integer, type ModelFlags } from './options.js';
import { overlayTargets } from './overlay-target.js';
import type { AddCommand, Context } from './program.js';
import { printable } from './terminal.js';
import { formatResult } from './result-table.js';

interface SegmentFlags
  extends
    ModelFlags,
    Pick<
      SegmentOptions,
      | 'scoreThreshold'
      | 'nmsThreshold'
      | 'maskThreshold'
      | 'maxDetections'
      | 'minSize'
      | 'maxSize'
      | 'preNmsTopN'
      | 'postNmsTopN'
      | 'nms'
      | 'topK'
      | 'rescoreBoxes'
      | 'maskResolution'
    > {
  readonly weights?: string;
  readonly json?: string;
  readonly overlay?: string;
}

/** Where trained weights come from. */
export const TRAINED_WEIGHTS = `Ways to get weights:
  - name one of the published models; it is downloaded once (about 180 MB):  --weights maskrcnn_resnet50_fpn
      "instaseg pull --list" shows which there are
  - convert a checkpoint of your own:     instaseg convert model.pth -o model.safetensors`;

const DEMO_WEIGHTS = '  - try it out with the small networks in the package, for drawn scenes:  instaseg demo';

const HELP = `
Files:
  --json writes one COCO results array over all images, each with image_id (the file's base name, a number where it is
  one), category_id, label, bbox [x, y, width, height], score and segmentation (compressed RLE).
  --overlay names a file (.png, .jpg, .webp) for one image; for several it is a folder, which gets NAME.png for each.`;

export const addSegmentCommand: AddCommand = (program, context, done) => {
  const command = program
    .command('segment')
    .summary('find the objects in images')
    .description('Find the objects in images')
    .argument('<image...>', 'image files (JPEG, PNG, WebP, GIF, TIFF, AVIF)')
    .option(
      '--weights <file|name>',
      'the model: safetensors, a PyTorch checkpoint (.pth, .pkl), or a name ("pull --list")',
    );
  addModelOptions(command)
    .option('--score-threshold <x>', 'keep detections with a score above this, 0 to 1', fraction)
    .option('--nms-threshold <x>', 'drop the weaker of two detections that overlap more (IoU), 0 to 1', fraction)
    .option('--mask-threshold <x>', 'a pixel belongs to a mask above this probability, 0 to 1', fraction)
    .option('--max-detections <n>', 'most detections an image', integer(1, 10_000))
    .option('--min-size <n>', 'Mask R-CNN: resize images to this shorter side, in pixels ...', integer(1, 16_384))
    .option('--max-size <n>', '... but the longer side to no more than this', integer(1, 16_384))
    .addOption(
      new Option('--nms <kind>', 'YOLACT: kind of suppression').choices(['fast', 'cross-class', 'traditional']),
    )
    .option('--top-k <n>', 'YOLACT: boxes of a class that enter the suppression', integer(1, 10_000))
    .addOption(
      new Option(
        '--mask-resolution <size>',
        "YOLACT: size of the masks: the image's, the network's, the prototypes'",
      ).choices(['original', 'input', 'prototype']),
    )
    .option('--rescore-boxes', "YOLACT++: multiply box scores by the masks' predicted IoU too")
    .option(
      '--pre-nms-top-n <n>',
      "Mask R-CNN: candidates a pyramid level before the proposals' NMS",
      integer(1, 100_000),
    )
    .option('--post-nms-top-n <n>', 'Mask R-CNN: proposals after it', integer(1, 100_000))
    .option('--json <out.json>', 'write COCO results; - for stdout, instead of the table')
    .option('--overlay <out.png>', 'draw the objects over the image; a folder for several images')
    .option('--verbose', "show device and times (images then run one at a time), and errors' stacks")
    .option('--quiet', 'print errors only')
    .addHelpText('after', HELP)
    .action(async (images: string[], flags: SegmentFlags) => done(await segment(images, flags, context)));
};

async function segment(images: readonly string[], flags: SegmentFlags, context: Context): Promise<ExitCode> {
  const { terminal, signal } = context;
  const weights = requireWeights(flags.weights);
  const targets = flags.overlay === undefined ? undefined : overlayTargets(flags.overlay, images);
  const json = flags.json === undefined ? undefined : await step(EXIT.failed, openJson(flags.json, terminal));
  try {
    const model = await loadModel(weights, flags, context);
    try {
      checkSizes(flags, model);
      checkOptions(flags, model);
      const failures = await segmentAll(images, model, { flags, targets, json }, context);
      signal.throwIfAborted();
      if (json) await step(EXIT.failed, json.finish());
      if (failures > 0 && images.length > 1) terminal.error(`${failures} of ${images.length} images failed`);
      return failures > 0 ? EXIT.failed : EXIT.ok;
    } finally {
      await model.dispose();
    }
  } finally {
    await json?.discard();
  }
}

function requireWeights(weights: string | undefined): string {
  if (weights === undefined) {
    throw usageError(
      `--weights is missing: the package has no weights for photographs in it.\n${TRAINED_WEIGHTS}\n${DEMO_WEIGHTS}`,
    );
  }
  if (/^https?:/i.test(weights)) {
    throw usageError(
      `--weights has to be a file or the name of a model, received ${weights}; download it first: curl -LO ${weights}`,
    );
  }
  return weights;
}

function checkSizes(flags: SegmentFlags, { config }: InstanceSegmenter): void {
  if (config.family === 'yolact') return; // the model itself refuses the flags
  const { minSize = config.image.minSize, maxSize = config.image.maxSize } = flags;
  if (minSize <= maxSize) return;
  const own = (value: unknown): string => (value === undefined ? ", the model's own" : '');
  throw usageError(
    `--min-size (${minSize}${own(flags.minSize)}) is above --max-size (${maxSize}${own(flags.maxSize)})`,
  );
}

/** What of the flags goes to the model. */
function segmentOptions(flags: SegmentFlags): SegmentOptions {
  const { scoreThreshold, nmsThreshold, maskThreshold, maxDetections, minSize, maxSize } = flags;
  const { preNmsTopN, postNmsTopN, nms, topK, maskResolution, rescoreBoxes } = flags;
  const ofFamily = { minSize, maxSize, preNmsTopN, postNmsTopN, nms, topK, maskResolution, rescoreBoxes };
  return { scoreThreshold, nmsThreshold, maskThreshold, maxDetections, ...ofFamily };
}

/** Flags that the model's family does not have are wrong usage, whatever the images are. */
function checkOptions(flags: SegmentFlags, model: InstanceSegmenter): void {
  try {
    model.checkOptions(segmentOptions(flags));
  } catch (error) {
    if (error instanceof InstasegError && error.code === 'ERR_ARGUMENT') throw usageError(error.message);
    throw error;
  }
}

interface Outputs {
  readonly flags: SegmentFlags;
  readonly targets: ReadonlyMap<string, string> | undefined;
  readonly json: JsonOutput | undefined;
}

/** Segments the images in order; reports the ones that fail and returns their number. */
async function segmentAll(
  images: readonly string[],
  model: InstanceSegmenter,
  { flags, targets, json }: Outputs,
  { terminal, signal }: Context,
): Promise<number> {
  const options = { ...segmentOptions(flags), signal };
  const toStdout = flags.json === '-';
  const ids = new Map<string | number | null, { image: string; warned: boolean }>();
  const progress =
    images.length > 1
      ? terminal.progress(images.length, '{bar} {value} / {total} images, {eta_formatted} left')
      : undefined;
  let failures = 0;
  let number = 0;
  try {
    // One ahead, so that the next image is decoded meanwhile; not when times are asked for, as they would overlap.
    const work = ahead(images, terminal.verbose ? 1 : 2, (image) => model.segment(image, options));
    for await (const [image, running] of work) {
      try {
        const result = await running;
        const { imageId } = result;
        const seen = ids.get(imageId);
        // Said once an id: a list of images may name one over and over.
        if (json && seen?.warned === false) {
          terminal.error(`warning: ${seen.image} and ${image} have the same image_id, ${JSON.stringify(imageId)}`);
        }
        ids.set(imageId, { image: seen?.image ?? image, warned: seen !== undefined });
        if (json) await step(EXIT.failed, json.add(result.toJSON()));
        if (!toStdout) terminal.print(formatResult(printable(image), result, terminal.verbose));
        const target = targets?.get(image);
        if (target !== undefined) await result.overlay().toFile(target);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof CommandFailure) throw error;
        failures++;
        terminal.report(error, image);
      }
      progress?.update(++number);
      // Nobody reads on: stop, unless there are files to write.
      if (terminal.closed && !targets && (toStdout || !json)) break;
    }
  } finally {
    progress?.stop();
  }
  return failures;
}

/** Each item with what `work` makes of it, in order, `count` of them under way at a time. */
async function* ahead<T, R>(
  items: readonly T[],
  count: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<[T, Promise<R>], void, undefined> {
  const running: [T, Promise<R>][] = [];
  try {
    for (const item of items) {
      const promise = work(item);
      promise.catch(() => undefined); // seen in its turn
      running.push([item, promise]);
      if (running.length === count) yield running.shift()!;
    }
    while (running.length > 0) yield running.shift()!;
  } finally {
    await Promise.allSettled(running.map(([, promise]) => promise));
  }
}

/** instaseg eval: how good detections are, by COCO's measure; of a results file, or of a model run over images. */
import { basename } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import {
  evaluateCoco,
  loadCocoDataset,
  loadCocoResults,
  type CocoDataset,
  type CocoEvaluation,
  type CocoResultRow,
} from '../index.js';
import { formatCategories, formatStats, writeReport } from './eval-report.js';
import { firstImages, runOverDataset, type RunFlags } from './eval-run.js';
import { EXIT, step, usageError, type ExitCode } from './exit.js';
import { loadModel } from './load-model.js';
import { addModelOptions, fraction, integer } from './options.js';
import type { AddCommand, Context } from './program.js';
import { printable } from './terminal.js';

type IouType = 'bbox' | 'segm';

interface EvalFlags extends RunFlags {
  readonly annotations: string;
  readonly results?: string;
  readonly images?: string;
  readonly weights?: string;
  readonly iouType?: IouType[];
  readonly categories: boolean;
  readonly maxImages?: number;
  readonly pycocotoolsFields?: boolean;
  readonly perClass?: boolean;
  readonly json?: string;
}

const HELP = `
The figures are those of pycocotools' COCOeval on the same annotations and results, to the last digit. Where results hold
both boxes and masks, each kind is evaluated as if it were in a file of its own: sizes of masks are their pixels, and
boxes of YOLACT++ are ranked by box_score. pycocotools takes the boxes' sizes and one score for both from such a file:
--pycocotools-fields does the same.

With --images, an image that fails is reported and its objects count as not found. With --save-results the results of
each image are kept in FILE.partial at once: the same command goes on from there after an interruption, or tries failed
images again.`;

const MODEL_ONLY = ['images', 'weights', 'saveResults', 'scoreThreshold', 'nmsThreshold', 'maskThreshold'].concat([
  'maxDetections',
  'minSize',
  'maxSize',
  'nms',
  'classNames',
  'model',
  'precision',
  'threads',
  'isa',
  'cacheDir',
  'offline',
  'mirror',
  'ignoreOrientation',
]);

export const addEvalCommand: AddCommand = (program, context, done) => {
  const command = program
    .command('eval')
    .summary("measure detections by COCO's average precision")
    .description("Measure detections by COCO's average precision: of a results file, or of a model run over images")
    .requiredOption('--annotations <gt.json>', "ground truth in COCO's format")
    .addOption(
      new Option('--results <dt.json>', 'detections to measure, a COCO results array ...').conflicts(MODEL_ONLY),
    )
    .option('--images <dir>', '... or the folder of the images, to run a model over them ...')
    .option('--weights <file|name>', '... with these weights: a file as for segment, or the name of a model')
    .option('--iou-type <types>', 'bbox, segm or bbox,segm; by default what the results have', iouTypes)
    .option('--no-categories', 'let any detection match any object')
    .option('--max-images <n>', 'only the first images, by id', integer(1, Number.MAX_SAFE_INTEGER))
    .option('--pycocotools-fields', 'read results with both boxes and masks as pycocotools does (see below)')
    .option('--per-class', 'print a table of the categories too')
    .option('--json <out.json>', 'write the figures, those of each category too; - for stdout, instead of the tables')
    .option('--save-results <dt.json>', "write the model's detections as COCO results");
  addModelOptions(command)
    .option('--score-threshold <x>', "as in segment; by default the model family's own, made for measuring", fraction)
    .option('--nms-threshold <x>', 'as in segment', fraction)
    .option('--mask-threshold <x>', 'as in segment', fraction)
    .option('--max-detections <n>', 'as in segment', integer(1, 10_000))
    .option('--min-size <n>', 'as in segment', integer(1, 16_384))
    .option('--max-size <n>', 'as in segment', integer(1, 16_384))
    .addOption(new Option('--nms <kind>', 'as in segment').choices(['fast', 'cross-class', 'traditional']))
    .option('--ignore-orientation', 'use images as they are stored, without their EXIF orientation')
    .option('--verbose', "show the model and its device, and errors' stacks")
    .option('--quiet', 'print errors only')
    .addHelpText('after', HELP)
    .action(async (flags: EvalFlags) => done(await evaluate(flags, context)));
};

function iouTypes(text: string): IouType[] {
  const types = text.split(',').map((type) => type.trim());
  if (types.length > 0 && types.every((type) => type === 'bbox' || type === 'segm')) return [...new Set(types)];
  throw new InvalidArgumentError('Expected bbox, segm or bbox,segm.');
}

async function evaluate(flags: EvalFlags, context: Context): Promise<ExitCode> {
  const { terminal, signal } = context;
  const source = sourceOf(flags);
  const dataset = await step(EXIT.failed, loadCocoDataset(flags.annotations));
  const imageIds = firstImages(dataset, flags.maxImages).map(({ id }) => id);
  const { results, failed } = await detections(source, dataset, flags, context);

  const evaluations: CocoEvaluation[] = [];
  for (const iouType of flags.iouType ?? measurable(dataset, results, context)) {
    const { categories: useCategories, pycocotoolsFields } = flags;
    const options = { iouType, useCategories, pycocotoolsFields, imageIds, signal };
    evaluations.push(await step(EXIT.failed, evaluateCoco(dataset, results, options)));
  }
  for (const warning of new Set(evaluations.flatMap(({ warnings }) => warnings))) terminal.error(`warning: ${warning}`);
  if (flags.json !== '-') {
    const split = printable(basename(flags.annotations));
    const tables = evaluations.flatMap((evaluation) => [
      formatStats(split, evaluation),
      ...(flags.perClass && flags.categories ? [formatCategories(evaluation)] : []),
    ]);
    terminal.print(tables.join('\n\n'));
  }
  if (failed.length > 0) {
    terminal.error(`${failed.length} of ${imageIds.length} images failed: their objects count as not found`);
  }
  if (flags.json !== undefined) {
    const about = { annotations: flags.annotations, ...source, images: imageIds.length, failedImages: failed };
    await step(EXIT.failed, writeReport(flags.json, about, evaluations, terminal));
  }
  return failed.length > 0 ? EXIT.failed : EXIT.ok;
}

type Source = { readonly results: string } | { readonly imageFolder: string; readonly weights: string };

function sourceOf({ results, images, weights, saveResults }: EvalFlags): Source {
  if (results !== undefined) return { results };
  if (images === undefined) throw usageError('expected --results, or --images with --weights');
  if (weights === undefined) throw usageError('--images needs --weights too');
  if (saveResults === '-') throw usageError('--save-results has to be a file');
  return { imageFolder: images, weights };
}

interface Detections {
  readonly results: readonly CocoResultRow[];
  /** Ids of the images that failed. */
  readonly failed: readonly number[];
}

async function detections(
  source: Source,
  dataset: CocoDataset,
  flags: EvalFlags,
  context: Context,
): Promise<Detections> {
  if ('results' in source) {
    return { results: await step(EXIT.failed, loadCocoResults(source.results)), failed: [] };
  }
  const model = await loadModel(source.weights, flags, context);
  try {
    return await runOverDataset(model, dataset, { ...source, ...flags, weights: source.weights }, context);
  } finally {
    await model.dispose();
  }
}

/** The kinds of evaluation that results and annotations have the data for. */
function measurable(dataset: CocoDataset, results: readonly CocoResultRow[], { terminal }: Context): IouType[] {
  const annotated = dataset.annotations.some(({ segmentation }) => segmentation !== undefined);
  const detected = results.length === 0 || results.some(({ segmentation }) => segmentation !== undefined);
  if (annotated && detected) return ['bbox', 'segm'];
  terminal.error(`only boxes are measured: the ${annotated ? 'results' : 'annotations'} have no masks`);
  return ['bbox'];
}

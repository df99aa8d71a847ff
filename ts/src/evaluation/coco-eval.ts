/**
 * COCO's evaluation of boxes and masks (https://cocodataset.org/#detection-eval), with the semantics and the arithmetic
 * of pycocotools' COCOeval (github.com/cocodataset/cocoapi), to the last digit.
 */
import { setImmediate } from 'node:timers/promises';
import { boxIou, rleIou, type Box } from '../masks/iou.js';
import { runArea, runBounds, type RunLengths } from '../masks/rle.js';
import { InstasegError } from '../runtime/errors.js';
import {
  abortSignal,
  flag,
  oneOf,
  optional,
  readOptions,
  requireObject,
  unchecked,
  type OptionChecks,
} from '../runtime/options.js';
import { invalid, requireInteger, requireNumber } from '../runtime/validate.js';
import { isObject } from './json-file.js';
import { ClassOutcomes, createTables, type NumberGrid } from './accumulate.js';
import type { CocoAnnotation, CocoDataset, CocoImage } from './coco-dataset.js';
import { parseCocoResults, type CocoDetection, type CocoResultRow } from './coco-results.js';
import { Grouping, type Group } from './groups.js';
import { matchDetections, type AreaRange, type MatchInput } from './match.js';
import { maskRuns } from './segmentation.js';
import { summarize, summarizeClass, type CategoryFigures, type CocoStat } from './summary.js';

/** Options of {@link evaluateCoco}. */
export interface EvaluateCocoOptions {
  /** What is compared: boxes or masks. */
  readonly iouType: 'bbox' | 'segm';
  /** False: any detection may match any object (COCO's proposal evaluation). By default true. */
  readonly useCategories?: boolean | undefined;
  /** Most detections of an image (and category) that count, in three steps; by default [1, 10, 100]. */
  readonly maxDets?: readonly [number, number, number] | undefined;
  /** Object sizes in square pixels; by default COCO's all, small (to 32^2), medium (to 96^2) and large. */
  readonly areaRanges?: readonly AreaRange[] | undefined;
  /** By default 0.5, 0.55 ... 0.95. */
  readonly iouThresholds?: readonly number[] | undefined;
  /** Only these images; by default all of the data set. */
  readonly imageIds?: readonly number[] | undefined;
  /** Only these categories; by default all of the data set. */
  readonly categoryIds?: readonly number[] | undefined;
  /**
   * How results that hold both box and mask are read. By default each kind has its own: the size of a detection is that
   * of its mask where masks are compared, and boxes are ranked by `box_score` where there is one (YOLACT++), as if they
   * were in two files. True: as pycocotools reads such a file, where the size is the box's and `score` counts for both.
   */
  readonly pycocotoolsFields?: boolean | undefined;
  /** Keeps, for every image and category, what matched what; by default false. */
  readonly matches?: boolean | undefined;
  /** Stops the evaluation, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What matched what in one image, for one category and area range. T: IoU thresholds; rows are stored one after another. */
export interface CocoMatches {
  readonly imageId: number;
  /** -1 without categories. */
  readonly categoryId: number;
  /** Name of the area range. */
  readonly area: string;
  /** Objects; those that do not count come last. */
  readonly gtIds: number[];
  /** 1 for an object that does not count: a crowd, or of another size. */
  readonly gtIgnore: Uint8Array;
  /** Position of each detection in the results, plus 1; best score first, no more than the last of `maxDets`. */
  readonly dtIds: number[];
  readonly dtScores: Float64Array;
  /** T rows: id of the object that a detection matched, 0 for none. */
  readonly dtMatches: Float64Array;
  /** T rows: 1 for a detection that is neither right nor wrong. */
  readonly dtIgnore: Uint8Array;
  /** T rows: id of the detection that matched an object, 0 for none. */
  readonly gtMatches: Float64Array;
  /** A row for each detection, a column for each object. */
  readonly ious: Float64Array;
}

/** COCO's figures of one evaluation, as pycocotools computes them. */
export interface CocoEvaluation {
  readonly iouType: 'bbox' | 'segm';
  readonly useCategories: boolean;
  /** Ascending. */
  readonly imageIds: readonly number[];
  /** Ascending. */
  readonly categoryIds: readonly number[];
  readonly iouThresholds: readonly number[];
  /** 0, 0.01 ... 1. */
  readonly recallThresholds: readonly number[];
  readonly areaRanges: readonly AreaRange[];
  readonly maxDets: readonly [number, number, number];
  /** The twelve figures, in pycocotools' order. */
  readonly stats: readonly CocoStat[];
  /** [IoU thresholds, recall thresholds, categories, area ranges, maxDets]; one category without categories. */
  readonly precision: NumberGrid;
  /** The same shape: the score at which that recall is reached. */
  readonly scores: NumberGrid;
  /** [IoU thresholds, categories, area ranges, maxDets]. */
  readonly recall: NumberGrid;
  /** In the order of `categoryIds`; empty without categories. */
  readonly perCategory: readonly CategoryFigures[];
  /** Objects that count (crowds do not), and detections looked at. */
  readonly objects: number;
  readonly detections: number;
  /** With `matches`: category by category, each image by image, each in the order of the area ranges. */
  readonly matches?: readonly CocoMatches[];
  /** What is odd about the input, in words. */
  readonly warnings: readonly string[];
}

const AREA_RANGES: readonly AreaRange[] = [
  { name: 'all', min: 0, max: 1e5 ** 2 },
  { name: 'small', min: 0, max: 32 ** 2 },
  { name: 'medium', min: 32 ** 2, max: 96 ** 2 },
  { name: 'large', min: 96 ** 2, max: 1e5 ** 2 },
];
const IOU_THRESHOLDS = linspace(0.5, 0.95, 10);
const RECALL_THRESHOLDS = linspace(0, 1, 101);

/** As numpy computes it: the last number is exactly `stop`. */
function linspace(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? stop : i * step + start));
}

/**
 * Average precision and recall of detections against a data set.
 *
 *     const dataset = await loadCocoDataset('instances_val2017.json');
 *     const { stats } = await evaluateCoco(dataset, results, { iouType: 'segm' });
 *     stats[0]; // { name: 'AP', value: 0.346, ... }
 *
 * As in pycocotools, detections and annotations of categories that the data set does not list are left out, `ignore` of
 * an annotation plays no part (crowds are what is ignored), and no detections at all give 0. Unlike it, `iscrowd` may be
 * absent, and masks that do not have their image's size are refused. The work is done on the calling thread; between
 * images other tasks get their turn.
 *
 * @throws InstasegError ERR_ARGUMENT for options, results or masks that are malformed, results of images that are not
 *   in the data set, or results and annotations without the box or mask that is to be compared
 */
export async function evaluateCoco(
  dataset: CocoDataset,
  results: readonly CocoResultRow[],
  options: EvaluateCocoOptions,
): Promise<CocoEvaluation> {
  requireDataset(dataset);
  const settings = settingsOf(dataset, options);
  const { iouType, useCategories, iouThresholds, areaRanges, maxDets, images, categoryIds, signal } = settings;
  signal?.throwIfAborted();
  const detections = parseCocoResults(results);
  checkImages(dataset, detections);
  const warnings = oddities(dataset, detections);

  const imageIndex = new Map(images.map(({ id }, i) => [id, i]));
  const categoryIndex = new Map(categoryIds.map((id, i) => [id, i]));
  const group = (rows: readonly { readonly imageId: number; readonly categoryId: number }[]): Grouping => {
    const places = rows.map(({ imageId, categoryId }) => ({
      image: imageIndex.get(imageId) ?? -1,
      category: categoryIndex.get(categoryId) ?? -1,
    }));
    return new Grouping(places, images.length, categoryIds.length, !useCategories);
  };
  const [objectGroups, detectionGroups] = [group(dataset.annotations), group(detections)];

  const classes = useCategories ? categoryIds.length : 1;
  const tables = createTables({
    thresholds: iouThresholds.length,
    recalls: RECALL_THRESHOLDS.length,
    classes,
    areas: areaRanges.length,
    limits: maxDets.length,
  });
  const axes = { iouThresholds, areaRanges, maxDets };
  const names = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  const perCategory: CategoryFigures[] = [];
  const matches: CocoMatches[] = [];
  const counts = { objects: 0, detections: 0 };
  const breathe = breather(signal);
  for (let k = 0; k < classes; k++) {
    const outcomes = new ClassOutcomes(detectionGroups.size(k), areaRanges.length, iouThresholds.length);
    let objects = 0;
    for (const members of Grouping.images(objectGroups, detectionGroups, k)) {
      const image = images[members.image]!;
      const { input, scores } = describe(dataset, detections, members, image, settings);
      const found = areaRanges.map((area) => matchDetections(input, area, iouThresholds));
      outcomes.add(scores, found);
      for (const crowd of input.gtCrowd) objects += 1 - crowd;
      if (settings.matches) {
        const about = { imageId: image.id, categoryId: useCategories ? categoryIds[k]! : -1 };
        areaRanges.forEach(({ name: area }, a) => {
          const { gtOrder, ...rest } = found[a]!;
          const gtIds = Array.from(gtOrder, (g) => input.gtIds[g]!);
          const ious = reorderColumns(input.ious, gtOrder);
          matches.push({ ...about, area, gtIds, dtIds: [...input.dtIds], dtScores: scores, ...rest, ious });
        });
      }
      await breathe();
    }
    for (const _ of outcomes.accumulate(tables, k, RECALL_THRESHOLDS, maxDets)) await breathe();
    counts.objects += objects;
    counts.detections += outcomes.detections;
    if (useCategories) {
      const categoryId = categoryIds[k]!;
      const about = { categoryId, name: names.get(categoryId)!, objects, detections: outcomes.detections };
      perCategory.push({ ...about, ...summarizeClass(tables, axes, k) });
    }
  }
  const { precision, scores, recall } = tables;
  return {
    iouType,
    useCategories,
    imageIds: images.map(({ id }) => id),
    categoryIds,
    recallThresholds: RECALL_THRESHOLDS,
    ...axes,
    stats: summarize(tables, axes),
    precision,
    scores,
    recall,
    perCategory,
    ...counts,
    ...(settings.matches && { matches }),
    warnings,
  };
}

interface Settings {
  readonly iouType: 'bbox' | 'segm';
  readonly useCategories: boolean;
  readonly maxDets: readonly [number, number, number];
  readonly areaRanges: readonly AreaRange[];
  readonly iouThresholds: readonly number[];
  /** By ascending id. */
  readonly images: readonly CocoImage[];
  readonly categoryIds: readonly number[];
  readonly pycocotoolsFields: boolean;
  readonly matches: boolean;
  readonly signal: AbortSignal | undefined;
}

function requireDataset(dataset: unknown): void {
  const { images, annotations, categories } = requireObject('dataset', dataset);
  if (![images, annotations, categories].every((rows) => Array.isArray(rows) && rows.every(isObject))) {
    throw invalid('dataset', 'what loadCocoDataset or parseCocoDataset gives', dataset);
  }
}

const OPTIONS = {
  iouType: oneOf('bbox', 'segm'),
  useCategories: optional(flag),
  maxDets: unchecked,
  areaRanges: unchecked,
  iouThresholds: unchecked,
  imageIds: unchecked,
  categoryIds: unchecked,
  pycocotoolsFields: optional(flag),
  matches: optional(flag),
  signal: abortSignal,
} satisfies OptionChecks<EvaluateCocoOptions>;

function settingsOf(dataset: CocoDataset, options: EvaluateCocoOptions): Settings {
  const given = readOptions('evaluateCoco', options, OPTIONS);
  const { maxDets = [1, 10, 100], areaRanges = AREA_RANGES, iouThresholds = IOU_THRESHOLDS } = options;
  if (!Array.isArray(maxDets) || maxDets.length !== 3) throw invalid('maxDets', 'three integers', maxDets);
  maxDets.forEach((limit, i) => requireInteger(`maxDets[${i}]`, limit, 1));
  if (!Array.isArray(areaRanges) || areaRanges.length === 0)
    throw invalid('areaRanges', 'a list of ranges', areaRanges);
  (areaRanges as readonly AreaRange[]).forEach((range, i) => {
    const { min, max } = requireObject(`areaRanges[${i}]`, range) as unknown as AreaRange;
    requireNumber(`areaRanges[${i}].max`, max, 0, Infinity);
    requireNumber(`areaRanges[${i}].min`, min, 0, max);
  });
  if (!Array.isArray(iouThresholds) || iouThresholds.length === 0)
    throw invalid('iouThresholds', 'a list of numbers', iouThresholds);
  iouThresholds.forEach((threshold, i) => requireNumber(`iouThresholds[${i}]`, threshold, 0, 1));
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const imageIds = choose('imageIds', options.imageIds, [...images.keys()]);
  const categories = dataset.categories.map(({ id }) => id);
  return {
    iouType: given.iouType,
    useCategories: given.useCategories ?? true,
    maxDets: maxDets.toSorted((a, b) => a - b) as [number, number, number],
    areaRanges: areaRanges as readonly AreaRange[],
    iouThresholds: iouThresholds as readonly number[],
    images: imageIds.map((id) => images.get(id)!),
    categoryIds: choose('categoryIds', options.categoryIds, categories),
    pycocotoolsFields: given.pycocotoolsFields ?? false,
    matches: given.matches ?? false,
    signal: given.signal,
  };
}

/** The ids that were asked for, or all; ascending, each once. */
function choose(name: string, wanted: readonly number[] | undefined, all: readonly number[]): number[] {
  const chosen = wanted ?? all;
  if (!Array.isArray(chosen)) throw invalid(name, 'a list of ids', chosen);
  const known = new Set(all);
  chosen.forEach((id, i) => {
    if (!known.has(id as number)) throw invalid(`${name}[${i}]`, 'an id of the data set', id);
  });
  return [...new Set(chosen as number[])].toSorted((a, b) => a - b);
}

function checkImages({ images, source }: CocoDataset, detections: readonly CocoDetection[]): void {
  const known = new Set(images.map(({ id }) => id));
  detections.forEach(({ imageId }, i) => {
    if (!known.has(imageId))
      throw new InstasegError(
        'ERR_ARGUMENT',
        `results[${i}].image_id is ${imageId}; no image of ${source} has that id`,
      );
  });
}

function oddities({ images, categories, annotations }: CocoDataset, detections: readonly CocoDetection[]): string[] {
  const knownCategories = new Set(categories.map(({ id }) => id));
  const knownImages = new Set(images.map(({ id }) => id));
  const strange = detections.filter(({ categoryId }) => !knownCategories.has(categoryId));
  const homeless = annotations.filter(
    ({ imageId, categoryId }) => !knownImages.has(imageId) || !knownCategories.has(categoryId),
  );
  const warnings: string[] = [];
  if (strange.length > 0) {
    const ids = [...new Set(strange.map(({ categoryId }) => categoryId))].toSorted((a, b) => a - b);
    const shown = ids.length > 8 ? [...ids.slice(0, 8), '...'] : ids;
    warnings.push(
      `${strange.length} of ${detections.length} detections are of categories that the data set does not list ` +
        `(${shown.join(', ')}): they are left out`,
    );
  }
  if (homeless.length > 0) {
    warnings.push(
      `${homeless.length} of ${annotations.length} annotations are of images or categories that the data set does not ` +
        'list: they are left out',
    );
  }
  if (annotations.some(({ id }) => id === 0)) {
    warnings.push(
      'an annotation has id 0: a detection that matches it counts as wrong, as it does in pycocotools; count from 1',
    );
  }
  return warnings;
}

/** The objects and the best detections of one image and class, with their IoU. */
function describe(
  { annotations, source }: CocoDataset,
  detections: readonly CocoDetection[],
  { objects, detections: candidates }: Group,
  { height, width }: CocoImage,
  { iouType, maxDets, pycocotoolsFields }: Settings,
): { readonly input: MatchInput; readonly scores: Float64Array } {
  const scoreOf = ({ score, boxScore }: CocoDetection): number =>
    iouType === 'bbox' && !pycocotoolsFields ? (boxScore ?? score) : score;
  // Stable: equal scores keep the order of the results (without categories: of the categories first).
  const ranked = candidates.toSorted((a, b) => scoreOf(detections[b]!) - scoreOf(detections[a]!));
  const best = ranked.subarray(0, maxDets[2]);
  const found = Array.from(best, (i) => detections[i]!);
  const truths = Array.from(objects, (i) => annotations[i]!);
  const isCrowd = truths.map((truth) => truth.isCrowd);

  const maskOf = (name: string, { segmentation }: CocoDetection | CocoAnnotation): RunLengths => {
    if (segmentation === undefined) throw new InstasegError('ERR_ARGUMENT', `${name} has no segmentation to compare`);
    return maskRuns(name, segmentation, height, width);
  };
  const dtName = (d: number): string => `results[${best[d]!}]`;
  const gtName = (g: number): string => `${source}: annotations[${objects[g]!}]`;
  const areaOfBox = ({ bbox }: CocoDetection): number => bbox![2] * bbox![3];

  let ious: Float64Array;
  let dtAreas: number[];
  if (iouType === 'segm') {
    const masks = found.map((detection, d) => maskOf(dtName(d), detection));
    const useBox = (detection: CocoDetection): boolean => pycocotoolsFields && detection.bbox !== undefined;
    dtAreas = found.map((detection, d) => (useBox(detection) ? areaOfBox(detection) : runArea(masks[d]!)));
    const gtMasks = truths.map((truth, g) => maskOf(gtName(g), truth));
    ious = rleIou(masks, gtMasks, isCrowd);
  } else {
    // Results of masks alone: the boxes around them, the sizes of the masks.
    const masks = found.map((detection, d) => (detection.bbox ? undefined : maskOf(dtName(d), detection)));
    dtAreas = found.map((detection, d) => (masks[d] ? runArea(masks[d]) : areaOfBox(detection)));
    const gtBoxes = truths.map(({ bbox }, g) => {
      if (bbox === undefined) throw new InstasegError('ERR_ARGUMENT', `${gtName(g)} has no bbox to compare`);
      return bbox;
    });
    const dtBoxes = found.map((detection, d) => detection.bbox ?? boxAround(masks[d]!));
    ious = boxIou(dtBoxes, gtBoxes, isCrowd);
  }
  return {
    scores: Float64Array.from(found, scoreOf),
    input: {
      ious,
      gtIds: Float64Array.from(truths, ({ id }) => id),
      gtAreas: Float64Array.from(truths, ({ area }) => area),
      gtCrowd: Uint8Array.from(isCrowd, Number),
      dtIds: Float64Array.from(best, (i) => i + 1),
      dtAreas: Float64Array.from(dtAreas),
    },
  };
}

function boxAround(runs: RunLengths): Box {
  const { x, y, width, height } = runBounds(runs);
  return [x, y, width, height];
}

function reorderColumns(matrix: Float64Array, order: Uint32Array): Float64Array {
  const columns = order.length;
  return matrix.map((_, i) => matrix[i - (i % columns) + order[i % columns]!]!);
}

/** Gives the event loop a turn when it has waited long enough, and sees an abort then. */
function breather(signal: AbortSignal | undefined): () => Promise<void> | undefined {
  const milliseconds = 10;
  let since = performance.now();
  return () => {
    if (performance.now() - since < milliseconds) return undefined;
    return setImmediate().then(() => {
      signal?.throwIfAborted();
      since = performance.now();
    });
  };
}

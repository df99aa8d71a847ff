/** The rules of COCO's evaluation, one by one, on cases small enough to count by hand. */
import { setTimeout } from 'node:timers/promises';
import test from 'ava';
import {
  evaluateCoco,
  parseCocoDataset,
  rleFromBox,
  type CocoDataset,
  type CocoEvaluation,
  type CocoMatches,
  type CocoResultRow,
  type EvaluateCocoOptions,
} from '../../src/index.js';
import { boxes, found, readCase, FIXTURE } from './support.js';

const evaluate = (
  dataset: CocoDataset,
  results: readonly CocoResultRow[],
  options: Partial<EvaluateCocoOptions> = {},
): Promise<CocoEvaluation> => evaluateCoco(dataset, results, { iouType: 'bbox', matches: true, ...options });

/** Without the last digits: a precision of 1 is 1 / (1 + 2^-52), as in pycocotools. */
const figures = ({ stats }: CocoEvaluation): Record<string, number> =>
  Object.fromEntries(stats.map(({ name, value }) => [name, Math.round(value * 1e12) / 1e12]));

const all = ({ matches }: CocoEvaluation): CocoMatches => matches!.find(({ area }) => area === 'all')!;

/** Which object each detection took at IoU 0.5, best score first. */
const taken = (evaluation: CocoEvaluation): number[] => {
  const { dtMatches, dtIds } = all(evaluation);
  return [...dtMatches.subarray(0, dtIds.length)];
};

const ignored = (evaluation: CocoEvaluation): number[] => {
  const { dtIgnore, dtIds } = all(evaluation);
  return [...dtIgnore.subarray(0, dtIds.length)];
};

test('a perfect detection: 1, and -1 for the sizes that no object has', async (t) => {
  const evaluation = await evaluate(boxes([{ bbox: [10, 10, 40, 40] }]), [found([10, 10, 40, 40], 0.9)]);
  t.deepEqual(figures(evaluation), {
    ...{ AP: 1, AP50: 1, AP75: 1, APs: -1, APm: 1, APl: -1 },
    ...{ AR1: 1, AR10: 1, AR100: 1, ARs: -1, ARm: 1, ARl: -1 },
  });
  t.deepEqual(
    evaluation.stats.map(({ kind, iouThreshold, area, maxDets }) => [kind, iouThreshold, area, maxDets].join(' ')),
    [
      ...['precision  all 100', 'precision 0.5 all 100', 'precision 0.75 all 100'],
      ...['precision  small 100', 'precision  medium 100', 'precision  large 100'],
      ...['recall  all 1', 'recall  all 10', 'recall  all 100'],
      ...['recall  small 100', 'recall  medium 100', 'recall  large 100'],
    ],
  );
  t.deepEqual(evaluation.iouThresholds, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95]);
  t.is(evaluation.recallThresholds.length, 101);
  t.true(evaluation.scores.data.every((score) => score === 0.9 || score === -1));
  const [category] = evaluation.perCategory;
  t.like(category!, { categoryId: 1, name: 'category 1', objects: 1, detections: 1, ar: 1, apSmall: -1 });
  t.is(category!.ap, evaluation.stats[0]!.value);
});

test('no detections give 0, no objects -1, no images -1', async (t) => {
  const objects = boxes([{ bbox: [10, 10, 40, 40] }]);
  const nothingFound = figures(await evaluate(objects, []));
  t.deepEqual([nothingFound.AP, nothingFound.AR100, nothingFound.APs], [0, 0, -1]);
  const nothingThere = await evaluate(boxes([]), [found([10, 10, 40, 40], 0.9)]);
  t.true(nothingThere.stats.every(({ value }) => value === -1));
  t.deepEqual(ignored(nothingThere), [0]);
  const empty = parseCocoDataset({ images: [], categories: [], annotations: [] });
  for (const useCategories of [true, false]) {
    const evaluation = await evaluate(empty, [], { useCategories });
    t.true(evaluation.stats.every(({ value }) => value === -1));
    t.deepEqual(evaluation.matches, []);
  }
});

test('average precision by hand: right, wrong, right of two objects', async (t) => {
  const dataset = boxes([{ bbox: [0, 0, 20, 20] }, { bbox: [100, 100, 20, 20] }]);
  const results = [
    found([100, 100, 20, 20], 0.5),
    found([50, 50, 20, 20], 0.7), // nothing is there
    found([0, 0, 20, 20], 0.9),
  ];
  const evaluation = await evaluate(dataset, results);
  // Precision 1 up to recall 0.5 (51 of 101 points), then 2/3.
  t.is(figures(evaluation).AP, Math.round(((51 + (50 * 2) / 3) / 101) * 1e12) / 1e12);
  t.is(figures(evaluation).AR1, 0.5);
  t.is(figures(evaluation).AR100, 1);
  t.deepEqual(all(evaluation).dtIds, [3, 2, 1]);
  t.deepEqual(taken(evaluation), [1, 0, 2]);
  const { data, shape } = evaluation.scores;
  const step = shape[3]! * shape[4]!;
  t.deepEqual([data[2], data[50 * step + 2], data[51 * step + 2], data[100 * step + 2]], [0.9, 0.9, 0.5, 0.5]);
});

test('an object is taken once, by the best score; of several objects the one of highest IoU', async (t) => {
  const dataset = boxes([{ bbox: [0, 0, 100, 100] }, { bbox: [0, 0, 100, 90] }]);
  const evaluation = await evaluate(dataset, [
    found([0, 0, 100, 91], 0.9), // closer to the second
    found([0, 0, 100, 90], 0.8), // the second again, exactly, but it is taken
    found([0, 0, 100, 100], 0.7), // both are taken
  ]);
  t.deepEqual(taken(evaluation), [2, 1, 0]);
});

test('equal IoU: the later object; equal scores: the earlier detection', async (t) => {
  const twins = boxes([{ bbox: [0, 0, 20, 20] }, { bbox: [0, 0, 20, 20] }]);
  t.deepEqual(taken(await evaluate(twins, [found([0, 0, 20, 20], 0.5), found([0, 0, 20, 20], 0.5)])), [2, 1]);
  const one = await evaluate(boxes([{ bbox: [0, 0, 20, 20] }]), [
    found([0, 0, 20, 19], 0.5),
    found([0, 0, 20, 20], 0.5),
  ]);
  t.deepEqual(
    [all(one).dtIds, taken(one)],
    [
      [1, 2],
      [1, 0],
    ],
  );
});

test('the threshold itself is enough', async (t) => {
  const evaluation = await evaluate(boxes([{ bbox: [0, 0, 20, 20] }]), [found([0, 0, 20, 10], 0.5)]);
  t.is(all(evaluation).ious[0], 0.5);
  t.deepEqual([figures(evaluation).AP50, figures(evaluation).AP75], [1, 0]);
  t.deepEqual(taken(evaluation), [1]);
  const exact = await evaluate(boxes([{ bbox: [0, 0, 20, 20] }]), [found([0, 0, 20, 20], 0.5)], { iouThresholds: [1] });
  t.deepEqual(taken(exact), [1]);
});

test('a crowd takes any number of detections, which then do not count; it is none to find', async (t) => {
  const dataset = boxes(
    [
      { bbox: [0, 0, 100, 100], iscrowd: 1 },
      { bbox: [150, 150, 20, 20] },
      { bbox: [0, 0, 100, 100], iscrowd: 1, image_id: 2 },
    ],
    2,
  );
  const evaluation = await evaluate(dataset, [
    found([0, 0, 10, 10], 0.9), // in the crowd: its IoU is the part of the detection that lies in it
    found([20, 20, 10, 10], 0.8),
    found([95, 0, 10, 10], 0.7), // half of it
    found([96, 0, 10, 10], 0.6), // less
    found([150, 150, 20, 20], 0.5),
  ]);
  const { gtIds, gtIgnore, ious } = all(evaluation);
  t.deepEqual(
    [gtIds, [...gtIgnore]],
    [
      [2, 1],
      [0, 1],
    ],
  );
  t.deepEqual([ious[1], ious[5], ious[7]], [1, 0.5, 0.4]);
  t.deepEqual(taken(evaluation), [1, 1, 1, 0, 2]);
  t.deepEqual(ignored(evaluation), [1, 1, 1, 0, 0]);
  t.is(evaluation.objects, 1);
  t.is(figures(evaluation).AR100, 1);
  t.is(figures(evaluation).AP50, 0.5);
});

test('a real object goes before a crowd of higher IoU', async (t) => {
  const dataset = boxes([{ bbox: [0, 0, 100, 100], iscrowd: 1 }, { bbox: [0, 0, 20, 20] }]);
  const evaluation = await evaluate(dataset, [found([0, 0, 20, 16], 0.9), found([0, 0, 20, 20], 0.8)]);
  t.deepEqual(
    [taken(evaluation), ignored(evaluation)],
    [
      [2, 1],
      [0, 1],
    ],
  );
});

test('sizes: the area of objects, and of detections that found none', async (t) => {
  const dataset = boxes([
    { bbox: [0, 0, 32, 32] }, // 1024: small and medium
    { bbox: [50, 0, 96, 96] }, // 9216: medium and large
    { bbox: [0, 150, 100, 20], area: 500 }, // what the file says
  ]);
  const evaluation = await evaluate(dataset, [
    found([0, 0, 32, 32], 0.9),
    found([50, 0, 96, 96], 0.8),
    found([0, 150, 100, 20], 0.7),
    found([150, 150, 10, 10], 0.6), // wrong, and small
  ]);
  const of = (area: string): CocoMatches => evaluation.matches!.find((match) => match.area === area)!;
  t.deepEqual(of('small').gtIds, [1, 3, 2]);
  t.deepEqual([...of('small').gtIgnore], [0, 0, 1]);
  t.deepEqual([...of('small').dtIgnore.subarray(0, 4)], [0, 1, 0, 0]);
  t.deepEqual(of('medium').gtIds, [1, 2, 3]);
  t.deepEqual([...of('medium').dtIgnore.subarray(0, 4)], [0, 0, 1, 1]);
  t.deepEqual(of('large').gtIds, [2, 1, 3]);
  t.deepEqual([...of('large').dtIgnore.subarray(0, 4)], [1, 0, 1, 1]);
  t.deepEqual([figures(evaluation).ARs, figures(evaluation).ARm, figures(evaluation).ARl], [1, 1, 1]);
});

test('maxDets: the best of each image and category', async (t) => {
  const dataset = boxes(
    Array.from({ length: 4 }, (_, i) => ({ bbox: [i * 50, 0, 20, 20] as const, image_id: 1 })),
    2,
    2,
  );
  const results = [0, 1, 2, 3].map((i) => found([i * 50, 0, 20, 20], 0.1 * (i + 1)));
  const other = found([0, 0, 20, 20], 0.95, { category_id: 2 });
  const evaluation = await evaluate(dataset, [...results, other], { maxDets: [3, 1, 2] });
  t.deepEqual(evaluation.maxDets, [1, 2, 3]);
  const { AR1, AR2, AR3 } = figures(evaluation);
  t.deepEqual([AR1, AR2, AR3], [0.25, 0.5, 0.75]);
  t.deepEqual(all(evaluation).dtIds, [4, 3, 2]);
  // One class: the other category's detection takes a place.
  const merged = await evaluate(dataset, [...results, other], { maxDets: [3, 1, 2], useCategories: false });
  t.deepEqual(all(merged).dtIds, [5, 4, 3]);
  t.is(all(merged).categoryId, -1);
  t.is(figures(merged).AR3, 0.75);
});

test('without categories equal scores go by category, then by the order of the results', async (t) => {
  const dataset = boxes([{ bbox: [0, 0, 20, 20] }], 1, 2);
  const results = [
    found([0, 0, 20, 20], 0.5, { category_id: 2 }),
    found([0, 0, 20, 20], 0.5),
    found([0, 0, 20, 20], 0.5),
  ];
  t.deepEqual(all(await evaluate(dataset, results, { useCategories: false })).dtIds, [2, 3, 1]);
});

test('images go by id, whatever the order of the file: equal scores of different images', async (t) => {
  const json = {
    images: [9, 2].map((id) => ({ id, width: 50, height: 50 })),
    categories: [{ id: 1 }],
    annotations: [{ id: 1, image_id: 9, category_id: 1, area: 100, bbox: [0, 0, 10, 10] }],
  };
  const results = [found([0, 0, 10, 10], 0.5, { image_id: 9 }), found([0, 0, 10, 10], 0.5, { image_id: 2 })];
  const evaluation = await evaluate(parseCocoDataset(json), results);
  t.deepEqual(
    evaluation.matches!.filter(({ area }) => area === 'all').map(({ imageId }) => imageId),
    [2, 9],
  );
  t.is(figures(evaluation).AP, 0.5); // image 2's wrong detection comes first
  t.is(evaluation.perCategory[0]!.name, '1');
});

test('masks: of polygons and of every form of RLE; boxes of masks alone', async (t) => {
  const rle = rleFromBox([10, 10, 40, 40], 200, 200);
  const runs = [10 * 200 + 10, ...Array.from({ length: 39 }, () => [40, 160]).flat(), 40];
  runs.push(200 * 200 - runs.reduce((sum, run) => sum + run, 0));
  const forms = [rle, { size: rle.size, counts: runs }, [[10, 10, 50, 10, 50, 50, 10, 50]]];
  for (const truth of forms) {
    const annotation = { id: 1, image_id: 1, category_id: 1, area: 1600, iscrowd: 0, segmentation: truth };
    const images = [{ id: 1, width: 200, height: 200 }];
    const dataset = parseCocoDataset({ images, categories: [{ id: 1, name: 'a' }], annotations: [annotation] });
    for (const segmentation of forms) {
      const results: CocoResultRow[] = [{ image_id: 1, category_id: 1, score: 0.5, segmentation }];
      t.is(figures(await evaluate(dataset, results, { iouType: 'segm' })).AP, 1);
      await t.throwsAsync(evaluate(dataset, results), {
        code: 'ERR_ARGUMENT',
        message: 'dataset: annotations[0] has no bbox to compare',
      });
      t.is(figures(await evaluate(boxes([{ bbox: [10, 10, 40, 40] }]), results)).AP, 1);
    }
  }
});

test('boxes are ranked by box_score, masks by score; with pycocotoolsFields both by score', async (t) => {
  const dataset = boxes([{ bbox: [0, 0, 20, 20] }]);
  const mask = (x: number) => ({ segmentation: rleFromBox([x, 0, 20, 20], 200, 200) });
  const results = [
    found([0, 0, 20, 20], 0.3, { box_score: 0.9, ...mask(0) }),
    found([100, 0, 20, 20], 0.6, { box_score: 0.6, ...mask(100) }),
  ];
  const ap = async (options: Partial<EvaluateCocoOptions>): Promise<number> =>
    figures(await evaluate(dataset, results, options)).AP!;
  t.deepEqual(await Promise.all([ap({}), ap({ iouType: 'segm' }), ap({ pycocotoolsFields: true })]), [1, 0.5, 0.5]);
});

test('an object with id 0 counts as pycocotools counts it, and is warned of', async (t) => {
  const evaluation = await evaluate(boxes([{ bbox: [0, 0, 20, 20], id: 0 }]), [found([0, 0, 20, 20], 0.9)]);
  t.is(figures(evaluation).AP, 0);
  t.regex(evaluation.warnings.join(), /id 0/);
});

test('what the data set does not list is left out, with a warning', async (t) => {
  const dataset = boxes([
    { bbox: [0, 0, 20, 20] },
    { bbox: [0, 0, 20, 20], category_id: 7 },
    { bbox: [0, 0, 5, 5], image_id: 3 },
  ]);
  const results = [found([0, 0, 20, 20], 0.5), found([50, 50, 20, 20], 0.9, { category_id: 7 })];
  for (const useCategories of [true, false]) {
    const evaluation = await evaluate(dataset, results, { useCategories });
    t.is(figures(evaluation).AP, 1);
    t.is(evaluation.warnings.length, 2);
    t.regex(evaluation.warnings[0]!, /^1 of 2 detections are of categories .*\(7\)/);
    t.regex(evaluation.warnings[1]!, /^2 of 3 annotations/);
  }
});

test('wrong options, results and masks', async (t) => {
  const dataset = boxes([{ bbox: [0, 0, 20, 20] }]);
  const good = found([0, 0, 20, 20], 0.5);
  const mask = (segmentation: CocoResultRow['segmentation']) => [{ ...good, segmentation }];
  const cases: [results: unknown, options: object, message: RegExp][] = [
    [[good], { iouType: 'keypoints' }, /^iouType must be one of "bbox", "segm"; received "keypoints"/],
    [[good], { maxDets: [1, 10] }, /^maxDets must be three integers/],
    [[good], { maxDets: [0, 1, 2] }, /^maxDets\[0\] must be an integer of at least 1/],
    [[good], { iouThresholds: [] }, /^iouThresholds must be/],
    [[good], { iouThresholds: [1.5] }, /^iouThresholds\[0\] must be a number from 0 to 1/],
    [[good], { areaRanges: [{ name: 'all', min: 5, max: 1 }] }, /^areaRanges\[0\]\.min must be/],
    [[good], { imageIds: [2] }, /^imageIds\[0\] must be an id of the data set; received 2/],
    [[good], { categoryIds: [9] }, /^categoryIds\[0\] must be an id of the data set/],
    [{}, {}, /^results must be an array/],
    [[good, null], {}, /^results\[1\] must be an object; received null/],
    [[good, { ...good, image_id: '1' }], {}, /^results\[1\]\.image_id must be an integer; received "1"/],
    [[{ ...good, image_id: 5 }], {}, /^results\[0\]\.image_id is 5; no image of dataset has that id/],
    [[{ ...good, score: NaN }], {}, /^results\[0\]\.score must be a finite number; received NaN/],
    [[{ ...good, bbox: [1, 2, 3] }], {}, /^results\[0\]\.bbox must be \[x, y, width, height\]/],
    [[good], { iouType: 'segm' }, /^results\[0\] has no segmentation to compare/],
    [mask({ size: [200, 200], counts: 'nonsense' }), { iouType: 'segm' }, /^results\[0\]\.segmentation: .*RLE/],
    [mask(rleFromBox([0, 0, 9, 9], 100, 200)), { iouType: 'segm' }, /\[100, 200\]; its image has \[200, 200\]/],
    [mask([[1, 2, 3]]), { iouType: 'segm' }, /^results\[0\]\.segmentation: expected a polygon/],
    [mask('text' as never), { iouType: 'segm' }, /^results\[0\]\.segmentation must be polygons/],
  ];
  for (const [results, options, message] of cases) {
    await t.throwsAsync(evaluate(dataset, results as CocoResultRow[], options), { code: 'ERR_ARGUMENT', message });
  }
});

test('an abort rejects with its reason, at once or on the way; timers run meanwhile', async (t) => {
  const reason = new Error('enough');
  const small = boxes([{ bbox: [0, 0, 20, 20] }]);
  await t.throwsAsync(evaluate(small, [], { signal: AbortSignal.abort(reason) }), { is: reason });

  const { dataset, results } = readCase(FIXTURE);
  const copies = 300;
  const many = parseCocoDataset({
    images: Array.from({ length: copies }, (_, i) =>
      dataset.images.map((image) => ({ ...image, id: image.id + i * 1e6 })),
    ).flat(),
    categories: dataset.categories,
    annotations: [],
  });
  const repeated = Array.from({ length: copies }, (_, i) =>
    results.map((row) => ({ ...row, image_id: Number(row.image_id) + i * 1e6 })),
  ).flat();
  const controller = new AbortController();
  const running = evaluate(many, repeated, { iouType: 'segm', matches: false, signal: controller.signal });
  void setTimeout(20).then(() => controller.abort(reason));
  await t.throwsAsync(running, { is: reason });
});

/** Every number of an evaluation against pycocotools, to the last digit. */
import test, { type ExecutionContext } from 'ava';
import { evaluateCoco, type CocoEvaluation } from '../../src/index.js';
import { referencePath, testWithReference } from '../masks/support.js';
import { FIXTURE, readCase, type CocoCase } from './support.js';

const TYPES = ['bbox', 'segm'] as const;
const values = ({ stats }: CocoEvaluation): number[] => stats.map(({ value }) => value);

async function agrees(t: ExecutionContext, { dataset, results, expected, tensor }: CocoCase): Promise<void> {
  for (const iouType of TYPES) {
    const evaluation = await evaluateCoco(dataset, results, { iouType, matches: true });
    const { stats, per_category_ap, ious, matches } = expected(iouType);
    t.deepEqual(values(evaluation), stats, `${iouType}: figures`);
    for (const { categoryId, ap } of evaluation.perCategory) t.is(ap, per_category_ap[categoryId]!);
    t.is(evaluation.perCategory.length, dataset.categories.length);

    // Of the larger tables the reference keeps all sizes and 100 detections.
    const [T, R, K, A, M] = evaluation.precision.shape as [number, number, number, number, number];
    for (const name of ['precision', 'scores'] as const) {
      const wanted = tensor(`${iouType}.${name}`);
      t.deepEqual(wanted.shape, [T, R, K]);
      const part = Float64Array.from(wanted.data, (_, i) => evaluation[name].data[i * A * M + 2]!);
      t.deepEqual(part, wanted.data, `${iouType}: ${name}`);
    }
    t.deepEqual(evaluation.recall.shape, tensor(`${iouType}.recall`).shape);
    t.deepEqual(evaluation.recall.data, tensor(`${iouType}.recall`).data, `${iouType}: recall`);

    const all = evaluation.matches!.filter(({ area }) => area === 'all');
    t.is(all.length, matches.length);
    for (const [i, match] of all.entries()) {
      const D = match.dtIds.length;
      const row = (list: Float64Array | Uint8Array, threshold: number): number[] =>
        Array.from(list.subarray(threshold * D, (threshold + 1) * D));
      const { imageId, categoryId, gtIds } = match;
      t.deepEqual(
        {
          image_id: imageId,
          category_id: categoryId,
          gtIds,
          dtScores: [...match.dtScores],
          gtIgnore: [...match.gtIgnore],
          dtMatches_50: row(match.dtMatches, 0),
          dtMatches_75: row(match.dtMatches, 5),
          dtIgnore_50: row(match.dtIgnore, 0),
        },
        matches[i]!,
      );
      const inFile = dataset.annotations.filter((a) => a.imageId === imageId && a.categoryId === categoryId);
      const columns = inFile.map(({ id }) => gtIds.indexOf(id));
      const matrix = match.dtIds.map((_, d) => columns.map((g) => match.ious[d * gtIds.length + g]!));
      if (D > 0 && columns.length > 0) t.deepEqual(matrix, ious[`${imageId}/${categoryId}`]);
    }

    const without = await evaluateCoco(dataset, results, { iouType, useCategories: false });
    t.deepEqual(values(without), expected(`${iouType}_no_categories`).stats, `${iouType}: without categories`);
    t.deepEqual(without.perCategory, []);
  }
}

test("the fixture: figures, tables, matches and IoU are pycocotools'", (t) => agrees(t, readCase(FIXTURE)));

testWithReference("the reference data: figures, tables, matches and IoU are pycocotools'", (t) =>
  agrees(t, readCase(referencePath('coco'))),
);

test('results in files of one kind give the same as results with both', async (t) => {
  const { dataset, results, expected } = readCase(FIXTURE);
  const only = { bbox: 'segmentation', segm: 'bbox' } as const;
  for (const iouType of TYPES) {
    const single = results.map((row) => ({ ...row, [only[iouType]]: undefined }));
    for (const pycocotoolsFields of [false, true]) {
      const evaluation = await evaluateCoco(dataset, single, { iouType, pycocotoolsFields });
      t.deepEqual(values(evaluation), expected(iouType).stats);
    }
  }
});

test('pycocotoolsFields: results with both kinds as pycocotools reads them', async (t) => {
  const { dataset, results, expected } = readCase(FIXTURE);
  for (const iouType of TYPES) {
    const evaluation = await evaluateCoco(dataset, results, { iouType, pycocotoolsFields: true });
    t.deepEqual(values(evaluation), expected(`${iouType}_both_fields`).stats);
  }
  t.notDeepEqual(expected('segm_both_fields').stats, expected('segm').stats);
});

test('other limits, sizes, thresholds, images and categories', async (t) => {
  const { dataset, results, tensor } = readCase(FIXTURE);
  for (const iouType of TYPES) {
    const evaluation = await evaluateCoco(dataset, results, {
      iouType,
      maxDets: [4, 1, 2],
      imageIds: dataset.images.slice(3, 8).map(({ id }) => id),
      categoryIds: [3, 1],
      iouThresholds: [0.3, 0.5, 0.75],
      areaRanges: [
        { name: 'all', min: 0, max: 1e10 },
        { name: 'some', min: 100, max: 900 },
      ],
    });
    t.deepEqual(evaluation.maxDets, [1, 2, 4]);
    t.deepEqual(evaluation.categoryIds, [1, 3]);
    const [T, R, K, A, M] = evaluation.precision.shape as [number, number, number, number, number];
    t.deepEqual(evaluation.recall.data, tensor(`${iouType}.options.recall`).data);
    for (const name of ['precision', 'scores'] as const) {
      const wanted = tensor(`${iouType}.options.${name}`);
      t.deepEqual(wanted.shape, [T, (R - 1) / 5 + 1, K, A, M]);
      const row = K * A * M;
      const fifths = evaluation[name].data.filter((_, i) => (Math.floor(i / row) % R) % 5 === 0);
      t.deepEqual(fifths, wanted.data, `${iouType}: ${name}`);
    }
    // There is no range called small, and no threshold missing.
    const named = new Map(evaluation.stats.map(({ name, value }) => [name, value]));
    t.is(named.get('APs'), -1);
    t.true(named.get('AP50')! >= 0 && named.get('AR4')! >= named.get('AR1')!);
  }
});

/**
 * The command line against torchvision and dbolya/yolact: model cases of the fixtures and, where they are, of the
 * reference data.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { decodeImage, Mask, SegmentationResult, type CocoResult } from '../../src/index.js';
import {
  findCases,
  isModelFile,
  isYolactFile,
  readTensors,
  type CaseFolder,
  type ModelFile,
  type YolactFile,
} from '../golden/case-files.js';
import { compareResult } from '../golden/end-to-end.js';
import { writeSeededModel, type SeededModel } from '../golden/seeded-models.js';
import { compareYolactResult } from '../golden/yolact-end-to-end.js';

const ROOT = path.resolve(__dirname, '../../..');
const CLI = path.join(ROOT, 'dist/src/cli/main.js');
const FIXTURES = path.join(ROOT, 'ts/test/fixtures');
const REFERENCE = path.resolve(ROOT, '../shared/reference');

/** Flags for what a case configures; the rest is as the model's family has it. */
const FLAGS = {
  min_size: '--min-size',
  max_size: '--max-size',
  rpn_pre_nms_top_n_test: '--pre-nms-top-n',
  rpn_post_nms_top_n_test: '--post-nms-top-n',
  box_score_thresh: '--score-threshold',
  box_nms_thresh: '--nms-threshold',
  box_detections_per_img: '--max-detections',
  mask_threshold: '--mask-threshold',
} as const;

/** A result as the API gives it, from the JSON that the command line wrote. */
async function fromJson(image: string, results: readonly CocoResult[]): Promise<SegmentationResult> {
  const instances = results.map(({ label, category_id: id, score, box_score: boxScore, bbox, segmentation }) => {
    const mask = Mask.fromRLE(segmentation);
    const scores = { score, ...(boxScore !== undefined && { boxScore }) };
    return { label, classId: id, categoryId: id, ...scores, box: bbox, area: mask.area, mask };
  });
  return new SegmentationResult(await decodeImage(image), instances);
}

/** Ids of COCO that no category has; the networks number the others without gaps. */
const UNUSED_IDS = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];
const COCO_IDS = Array.from({ length: 90 }, (_, i) => i + 1).filter((id) => !UNUSED_IDS.includes(id));

/** What `instaseg segment` finds in the image of a case with its seeded weights. */
async function segmented(
  t: ExecutionContext,
  { folder: caseFolder }: CaseFolder,
  file: SeededModel & { readonly images: readonly string[] },
  flags: readonly string[],
): Promise<SegmentationResult> {
  const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-cli-golden-'));
  try {
    const weights = path.join(folder, 'weights.safetensors');
    await writeSeededModel(weights, file);
    const image = path.resolve(caseFolder, file.images[0]!);
    const json = path.join(folder, 'out.json');
    const run = spawnSync(
      process.execPath,
      [CLI, 'segment', image, '--weights', weights, '--json', json, '--quiet', ...flags],
      { encoding: 'utf8' },
    );
    t.is(run.status, 0, run.stderr);
    return await fromJson(image, JSON.parse(readFileSync(json, 'utf8')) as CocoResult[]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function yolactFlags({ model, settings }: YolactFile): string[] {
  const nms = settings['cross_class_nms'] === true ? ['--nms', 'cross-class'] : [];
  // Its weights look like those of yolact_base.
  const preset = /^yolact_im\d+$/.test(model) ? ['--model', model] : [];
  return ['--score-threshold', String(settings['score_threshold']), ...nms, ...preset];
}

async function passes(t: ExecutionContext, found: CaseFolder): Promise<void> {
  const tensors = readTensors(found);
  if (isYolactFile(found.file)) {
    const result = await segmented(t, found, found.file, yolactFlags(found.file));
    const stages = compareYolactResult(result, found.file, tensors, (label) => COCO_IDS[label]!);
    t.deepEqual(
      stages.filter(({ ok }) => !ok),
      [],
    );
    return;
  }
  const file = found.file as ModelFile & SeededModel;
  const flags = Object.entries(FLAGS).flatMap(([name, flag]) => [flag, String(file.config[name])]);
  const result = await segmented(t, found, file, flags);
  t.deepEqual(
    compareResult(result, file, tensors, 0).filter(({ ok }) => !ok),
    [],
  );
}

/** Single images. Mask R-CNNs have COCO's 91 outputs, where category_id is the class; YOLACTs its 80 categories. */
function suits({ file }: CaseFolder): boolean {
  if (isYolactFile(file)) return file.settings['num_classes'] === COCO_IDS.length + 1;
  return isModelFile(file) && file.model.startsWith('maskrcnn') && file.images.length === 1;
}

for (const found of findCases(FIXTURES).cases.filter(suits)) {
  test.serial(`fixtures: ${found.name}`, (t) => passes(t, found));
}
if (existsSync(REFERENCE)) {
  for (const found of findCases(REFERENCE).cases.filter(suits)) {
    test.serial(`reference data: ${found.name}`, (t) => passes(t, found));
  }
} else {
  test.skip('reference data (skipped: ../shared/reference is not there)', (t) => t.pass());
}

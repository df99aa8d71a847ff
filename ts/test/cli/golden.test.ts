/** The command line against torchvision: model cases of the fixtures and, where they are, of the reference data. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { decodeImage, Mask, SegmentationResult, type CocoResult } from '../../src/index.js';
import { findCases, isModelFile, readTensors, type CaseFolder, type ModelFile } from '../golden/case-files.js';
import { compareResult } from '../golden/end-to-end.js';
import { writeSeededModel, type SeededModel } from '../golden/seeded-models.js';

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
  const instances = results.map(({ label, category_id: id, score, bbox, segmentation }) => {
    const mask = Mask.fromRLE(segmentation);
    return { label, classId: id, categoryId: id, score, box: bbox, area: mask.area, mask };
  });
  return new SegmentationResult(await decodeImage(image), instances);
}

async function passes(t: ExecutionContext, found: CaseFolder): Promise<void> {
  const file = found.file as ModelFile & SeededModel;
  const config = file.config;
  const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-cli-golden-'));
  try {
    const weights = path.join(folder, 'weights.safetensors');
    await writeSeededModel(weights, file);
    const image = path.resolve(found.folder, file.images[0]!);
    const json = path.join(folder, 'out.json');
    const flags = Object.entries(FLAGS).flatMap(([name, flag]) => [flag, String(config[name])]);
    const run = spawnSync(
      process.execPath,
      [CLI, 'segment', image, '--weights', weights, '--json', json, '--quiet', ...flags],
      { encoding: 'utf8' },
    );
    t.is(run.status, 0, run.stderr);
    const results = JSON.parse(readFileSync(json, 'utf8')) as CocoResult[];
    const failures = compareResult(await fromJson(image, results), file, readTensors(found), 0).filter(({ ok }) => !ok);
    t.deepEqual(failures, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Single images of networks with COCO's 91 outputs, where category_id is the class. */
function suits({ file }: CaseFolder): boolean {
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

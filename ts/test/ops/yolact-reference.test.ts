/** YOLACT's ops one by one, and from the network's outputs to masks in one plan, against the reference implementation. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Device, ops, Tensor } from '../../src/index.js';
import { readTensors, type GoldenMask, type GoldenTensor, type ModelFile, type OpFile } from '../golden/case-files.js';
import { decodeMask } from '../golden/rle.js';
import { floats, ints } from '../support/boxes.js';
import { assertClose } from '../support/ops.js';

const REFERENCE = path.resolve(__dirname, '../../../../shared/reference');

interface YolactFile {
  readonly settings: { readonly cross_class_nms: boolean; readonly conf_thresh: number; readonly nms_thresh: number };
  readonly image_shapes: readonly [readonly [number, number]];
  readonly masks: readonly GoldenMask[];
  readonly samples: Readonly<Record<string, { readonly step: number }>>;
}

function oneImage({ data, shape }: GoldenTensor): Tensor {
  return Tensor.from(data, [1, ...shape]);
}

/** The soft mask i of the result as a whole image. */
function wholeMask(
  soft: { readonly regions: Tensor; readonly offsets: Tensor; readonly values: Tensor },
  i: number,
  [height, width]: readonly [number, number],
): Float32Array {
  const [x, y, w, h] = soft.regions.data.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
  const whole = new Float32Array(height * width);
  for (let row = 0; row < h; row += 1) {
    const begin = soft.offsets.data[i]! + row * w;
    whole.set(soft.values.data.subarray(begin, begin + w), (y + row) * width + x);
  }
  return whole;
}

async function check(t: ExecutionContext, folder: string): Promise<void> {
  const file = JSON.parse(readFileSync(path.join(folder, 'case.json'), 'utf8')) as YolactFile;
  const tensors = readTensors({ name: folder, folder, file: file as unknown as ModelFile });
  const golden = (name: string): GoldenTensor => tensors.get(name)!;
  const [image] = file.image_shapes;
  const sizes = ints([...image, 0, 0], [1, 4]);
  const candidates = (name: string): Tensor => oneImage(golden(`cand.${name}`));
  const [conf, loc, mask] = [candidates('conf'), candidates('loc'), candidates('mask')];
  const prior = Tensor.from(golden('cand.prior').data, golden('cand.prior').shape);
  const prototypes = tensors.get('proto');
  const kind = file.settings.cross_class_nms ? 'cross-class' : 'fast';

  const detections = (scoreThreshold?: number) => {
    const { indices, counts: valid } = ops.selectCandidates(conf, { threshold: file.settings.conf_thresh });
    const boxes = ops.decodePriors(loc, prior, { indices, counts: valid });
    const scores = ops.gatherRows(conf, indices, { counts: valid });
    const iouThreshold = file.settings.nms_thresh;
    const options = { kind, iouThreshold, scoreThreshold, background: true, counts: valid } as const;
    const { counts, ...found } = ops.fastNms(boxes, scores, options);
    const rows = ops.gatherRows(indices, found.indices, { counts });
    return {
      counts,
      classes: found.classes,
      scores: found.scores,
      boxes: ops.gatherRows(boxes, found.indices, { counts }),
      coefficients: ops.gatherRows(mask, rows, { counts }),
    };
  };

  const device = await Device.open('cpu', { threads: 2 });
  const raw = await device.run(() => detections());
  t.deepEqual([...raw.classes.data], [...golden('raw.class').data]);
  t.deepEqual([...raw.scores.data], [...golden('raw.score').data]);
  t.deepEqual([...raw.coefficients.data], [...golden('raw.mask').data]);
  assertClose(t, raw.boxes.data, golden('raw.box').data, { rtol: 1e-6, atol: 1e-6 }, 'boxes');

  const post = await device.run(() => {
    const found = detections(0.15);
    const { counts } = found;
    const boxes = ops.yolactBoxes(found.boxes, sizes, { counts });
    if (!prototypes) return { classes: found.classes, boxes };
    const { data, shape } = prototypes;
    const masks = ops.assembleMasks(Tensor.from(data, shape), found.coefficients, found.boxes, { counts });
    const soft = ops.upsampleSoftMasks(masks, sizes, { counts });
    return { classes: found.classes, boxes, soft };
  });
  t.deepEqual([...post.classes.data], [...golden('post.class').data]);
  t.deepEqual([...post.boxes.data], [...golden('post.box').data]);
  if ('soft' in post) {
    const pixels = image[0] * image[1];
    const { step } = file.samples['post.mask_soft']!;
    const sample = golden('post.mask_soft.sample').data;
    for (const [i, expected] of file.masks.entries()) {
      const soft = wholeMask(post.soft, i, image);
      const first = Math.ceil((i * pixels) / step);
      const last = Math.ceil(((i + 1) * pixels) / step);
      const sampled = Array.from({ length: last - first }, (_, k) => soft[(first + k) * step - i * pixels]!);
      assertClose(t, sampled, sample.subarray(first, last), { atol: 2e-5 }, `mask ${i}`);
      const different = decodeMask(expected).reduce((sum, bit, at) => sum + Math.abs(bit - Number(soft[at]! > 0.5)), 0);
      t.true(different <= expected.pixels_within_1e_3, `mask ${i}: ${different} pixels differ`);
    }
  }
  await device.dispose();
}

/** The functions of which the reference data hold inputs and outputs. */
async function checkFunctions(t: ExecutionContext, folder: string): Promise<void> {
  const file = JSON.parse(readFileSync(path.join(folder, 'case.json'), 'utf8')) as OpFile;
  const tensors = readTensors({ name: folder, folder, file });
  const golden = (name: string): GoldenTensor => tensors.get(name)!;
  const device = await Device.open('cpu', { threads: 2 });

  const [loc, prior] = [oneImage(golden('decode.loc')), golden('decode.priors')];
  const decoded = await device.run(() => ops.decodePriors(loc, Tensor.from(prior.data, prior.shape)));
  assertClose(t, decoded.data, golden('decode.output').data, { rtol: 1e-6, atol: 1e-6 }, 'decode');

  // [h, w, masks] of the reference out of our [masks, h, w, 1].
  const masksLast = ({ data, shape }: Tensor): number[] => {
    const [count, cells] = [shape[0]!, shape[1]! * shape[2]!];
    return Array.from({ length: data.length }, (_, i) => data[(i % count) * cells + Math.floor(i / count)]!);
  };
  const [prototypes, coefficients] = [oneImage(golden('lincomb.proto')), oneImage(golden('lincomb.coef'))];
  const count = coefficients.shape[1]!;
  const everywhere = floats(Array<number[]>(count).fill([-1, -1, 2, 2]).flat(), [1, count, 4]);
  const combined = await device.run(() => ops.assembleMasks(prototypes, coefficients, everywhere));
  assertClose(t, masksLast(combined), golden('lincomb.output').data, { rtol: 1e-5, atol: 1e-6 }, 'lincomb');

  // Zeros give masks of 0.5 inside.
  const [masks, boxes] = [golden('crop.masks'), oneImage(golden('crop.boxes'))];
  const zeros = Tensor.zeros([1, masks.shape[0]!, masks.shape[1]!, 1]);
  const inside = await device.run(() => ops.assembleMasks(zeros, Tensor.zeros([1, masks.shape[2]!, 1]), boxes));
  const cropped = masksLast(inside).map((value, i) => 2 * value * masks.data[i]!);
  assertClose(t, cropped, golden('crop.output').data, {}, 'crop');

  for (const { name, params } of file.cases!.filter((subCase) => subCase.params['fn'] === 'make_priors')) {
    const { data, shape } = await device.run(() =>
      ops.priors({
        grid: params['grid'] as number,
        maxSize: params['max_size'] as number,
        scales: params['scales'] as number[],
        ratios: (params['ratios'] as number[][])[0]!,
        square: params['use_square_anchors'] as boolean,
      }),
    );
    t.is(shape[0], params['total'] as number, name);
    const step = params['step'] as number;
    const every = golden(`${name}.every`).data;
    assertClose(
      t,
      every.map((_, i) => data[Math.floor(i / 4) * step * 4 + (i % 4)]!),
      every,
      {},
      name,
    );
  }
  await device.dispose();
}

function referenceTest(
  title: string,
  folder: string,
  body: (t: ExecutionContext, folder: string) => Promise<void>,
): void {
  if (existsSync(folder)) test(title, (t) => body(t, folder));
  else test.skip(`${title} (skipped: ../shared/reference is not there)`, (t) => body(t, folder));
}

referenceTest('yolact functions equal the reference', path.join(REFERENCE, 'ops', 'yolact'), checkFunctions);

for (const name of [
  'yolact_r50/cat',
  'yolact_r50/cyclists_cross_class',
  'yolact_base_r101/saw',
  'yolact_plus_r50/cyclists',
  'yolact_plus_r101/cat',
]) {
  referenceTest(`yolact post-processing equals the reference: ${name}`, path.join(REFERENCE, name), check);
}

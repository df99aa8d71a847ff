import { InstasegError } from '../../runtime/errors.js';
import { describeTensor, type TensorInfo } from '../tensor-info.js';

/** Lines of each kind in the message of a mismatch. */
const SHOWN = 8;

const FLOATS: ReadonlySet<string> = new Set(['f64', 'f32', 'f16', 'bf16']);

/** Name patterns by which other people's weights are recognised; the first that fits some name wins. */
const FAMILIES: readonly (readonly [RegExp, string])[] = [
  [/^(proto_net|prediction_layers|semantic_seg_conv|maskiou_net)\./, 'YOLACT weights'],
  [/^(backbone\.bottom_up|backbone\.fpn_lateral\d|proposal_generator)\./, 'detectron2 weights'],
  [/^(neck\.|rpn_head\.|roi_head\.|bbox_head\.|mask_head\.)/, 'mmdetection weights'],
  [/^rpn\.anchor_generator\.cell_anchors\./, 'maskrcnn-benchmark weights'],
  [/^roi_heads\.keypoint_/, 'torchvision Keypoint R-CNN weights'],
  [/^roi_heads\.mask_predictor\./, 'torchvision Mask R-CNN weights'],
  [/^roi_heads\.box_predictor\./, 'torchvision Faster R-CNN weights, which have no masks'],
  [/^head\.(classification|regression)_head\./, 'torchvision one-stage detector weights, which have no masks'],
  [/^transformer\.(encoder|decoder)\./, 'DETR weights'],
  [/^model\.\d+\./, 'Ultralytics YOLO weights'],
  [
    /^(blobs\/|conv1_w|res_conv1_bn|res2_0_branch)/,
    'Caffe2 Detectron weights (a model or an ImageNet backbone from before detectron2)',
  ],
  [/^(backbone\.)?(stem\.conv1|res2\.0\.conv1)\.weight$/, 'a detectron2 backbone alone'],
  [/^layer1\.0\.conv1\.weight$/, 'backbone-only ResNet weights'],
];

/** "YOLACT weights" and the like, or undefined where the names say nothing. */
export function describeFamily(names: Iterable<string>): string | undefined {
  const all = Array.from(names, (name) => name.replace(/^(module\.)+/, ''));
  return FAMILIES.find(([pattern]) => all.some((name) => pattern.test(name)))?.[1];
}

/** Counters of training, which no forward pass uses. */
export const isTrainingCounter = (name: string): boolean => name.endsWith('.num_batches_tracked');

/**
 * Checks the tensors of a file against the names and shapes that a model expects. Throws ERR_WEIGHTS with a short table
 * of what is missing, unexpected, or of another shape, and a word on what the weights are where their names show it.
 * `.num_batches_tracked` entries are ignored; weights have to be floating-point.
 */
export function checkWeights(
  expected: ReadonlyMap<string, readonly number[]>,
  actual: ReadonlyMap<string, Pick<TensorInfo, 'dtype' | 'shape'>>,
): void {
  const missing = [...expected.keys()].filter((name) => !actual.has(name));
  const unexpected: string[] = [];
  const mismatched: string[] = [];
  for (const [name, info] of actual) {
    const shape = expected.get(name);
    if (shape === undefined) {
      if (!isTrainingCounter(name)) unexpected.push(name);
    } else if (!sameShape(shape, info.shape) || !FLOATS.has(info.dtype)) {
      mismatched.push(`${name}: expected [${shape.join(', ')}], found ${describeTensor(info)}`);
    }
  }
  if (missing.length + unexpected.length + mismatched.length === 0) return;
  const sections = [
    section('missing', missing),
    section('unexpected', unexpected),
    section('wrong shape or type', mismatched),
  ];
  const family = describeFamily(actual.keys());
  const hint =
    family === undefined || family === describeFamily(expected.keys())
      ? ''
      : `\nBy their names these look like ${family}.`;
  throw new InstasegError('ERR_WEIGHTS', `The weights do not fit the model.${sections.join('')}${hint}`);
}

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i]);

function section(title: string, lines: readonly string[]): string {
  if (lines.length === 0) return '';
  const more = lines.length > SHOWN ? [`... and ${lines.length - SHOWN} more`] : [];
  return [`\n${title} (${lines.length}):`, ...lines.slice(0, SHOWN), ...more].join('\n  ');
}

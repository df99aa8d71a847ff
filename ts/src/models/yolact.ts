/**
 * YOLACT (Bolya et al., 2019) and YOLACT++ (Bolya et al., 2020) as dbolya/yolact computes them: network, detection, mask
 * rescoring and mask assembly, recorded as one plan.
 */
import { darknet } from '../nn/darknet.js';
import { conv } from '../nn/layers.js';
import type { Parameters } from '../nn/parameters.js';
import { resnet } from '../nn/resnet.js';
import * as ops from '../ops/index.js';
import { reshape, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { Tensor } from '../runtime/tensor.js';
import { requireOneOf } from '../runtime/validate.js';
import { overrideConfig } from '../weights/families/config.js';
import type { YolactConfig } from '../weights/families/yolact-config.js';
import type { Job, Network, NetworkInputs, NetworkOutputs, Probe } from './network.js';
import { count, defined, fraction, refuse } from './overrides.js';
import { rowOf } from './row.js';

/** The plan's results; boxes are whole pixels (i32). */
interface YolactOutputs extends NetworkOutputs {
  /** f32 [N, D]: class score times predicted mask IoU; the class score where nothing rescores. */
  readonly maskScores: SymbolicTensor;
}

const RESOLUTIONS = ['original', 'input', 'prototype'] as const;
const NMS_KINDS = ['fast', 'cross-class', 'traditional'] as const;

type See = (name: string, tensor: SymbolicTensor) => SymbolicTensor;

function backbone(image: SymbolicTensor, parameters: Parameters, config: YolactConfig): SymbolicTensor[] {
  const { epsilon } = config.batchNorm;
  return config.backbone.kind === 'resnet'
    ? resnet(image, parameters, config.backbone, epsilon, (stage) => `layers.${stage}`)
    : darknet(image, parameters, config.backbone, epsilon);
}

/** P3 to P7: laterals summed top-down with bilinear upsampling, then 3x3 convolutions; two more levels by stride 2. */
function pyramid(stages: readonly SymbolicTensor[], parameters: Parameters, config: YolactConfig): SymbolicTensor[] {
  const { downsamples, reluPredictions, reluDownsamples } = config.fpn;
  const levels: SymbolicTensor[] = [];
  let above: SymbolicTensor | undefined;
  for (let i = stages.length - 1; i >= 0; i -= 1) {
    const index = stages.length - 1 - i; // modules are numbered from the coarsest level
    const lateral = conv(stages[i]!, parameters.scope(`lat_layers.${index}`));
    const [, height, width] = lateral.shape as [number, number, number];
    above = above ? ops.add(ops.resize(above, { size: [height, width] }), lateral) : lateral;
    const predicted = conv(above, parameters.scope(`pred_layers.${index}`), { padding: 1 });
    levels.unshift(reluPredictions ? ops.relu(predicted) : predicted);
  }
  for (let i = 0; i < downsamples; i += 1) {
    const smaller = conv(levels.at(-1)!, parameters.scope(`downsample_layers.${i}`), { stride: 2, padding: 1 });
    levels.push(reluDownsamples ? ops.relu(smaller) : smaller);
  }
  return levels;
}

/** Prototype masks [N, PH, PW, K]. Each layer has a ReLU after it and counts two in the checkpoint's Sequential. */
function prototypes(finest: SymbolicTensor, parameters: Parameters, config: YolactConfig): SymbolicTensor {
  return config.protonet.layers.reduce((x, layer, i) => {
    if (layer.kind === 'upsample') return ops.relu(ops.resize(x, { scale: 2 }));
    const padding = (layer.kernel - 1) / 2;
    return ops.relu(conv(x, parameters.scope(String(2 * i)), { padding }));
  }, finest);
}

/** The shared head on all levels, joined over their anchors: f32 [N, M, ...], whatever the levels are. */
function predict(
  levels: readonly SymbolicTensor[],
  parameters: Parameters,
  config: YolactConfig,
): { loc: SymbolicTensor; logits: SymbolicTensor; coefficients: SymbolicTensor } {
  const outputs = levels.map((level) => {
    const shared = config.head.upfeature.reduce(
      (x, _, i) => ops.relu(conv(x, parameters.scope(`upfeature.${2 * i}`), { padding: 1 })),
      level,
    );
    const layer = (name: string, size: number): SymbolicTensor => {
      const output = conv(shared, parameters.scope(name), { padding: 1 });
      return reshape(output, [output.shape[0]!, -1, size]);
    };
    return {
      loc: ops.cast(layer('bbox_layer', 4), 'f32'),
      logits: ops.cast(layer('conf_layer', config.numClasses), 'f32'),
      coefficients: ops.cast(ops.tanh(layer('mask_layer', config.head.coefficients)), 'f32'),
    };
  });
  const join = (name: keyof (typeof outputs)[number]): SymbolicTensor =>
    ops.concat(
      outputs.map((output) => output[name]),
      { axis: 1 },
    );
  return { loc: join('loc'), logits: join('logits'), coefficients: join('coefficients') };
}

function allPriors(levels: readonly SymbolicTensor[], config: YolactConfig): SymbolicTensor {
  const { scales, ratios, square } = config.anchors;
  return ops.concat(
    levels.map((level, i) => {
      const [, height, width] = level.shape as [number, number, number];
      return ops.priors({ grid: [height, width], maxSize: config.image.size, scales: scales[i]!, ratios, square });
    }),
    { axis: 0 },
  );
}

/** Detections with a fixed capacity: boxes are relative to the image, x1, y1, x2, y2. */
interface Detected {
  readonly boxes: SymbolicTensor;
  readonly scores: SymbolicTensor;
  readonly labels: SymbolicTensor;
  readonly coefficients: SymbolicTensor;
  readonly counts: SymbolicTensor;
}

/** Candidates by their best foreground score, decoding, NMS, and the score threshold. */
function detect(
  predictions: { loc: SymbolicTensor; conf: SymbolicTensor; coefficients: SymbolicTensor; priors: SymbolicTensor },
  config: YolactConfig,
): Detected {
  const { detect: rule } = config;
  const candidates = ops.selectCandidates(predictions.conf, { threshold: rule.confThreshold });
  const { counts } = candidates;
  const pick = (values: SymbolicTensor): SymbolicTensor => ops.gatherRows(values, candidates.indices, { counts });
  const boxes = ops.decodePriors(predictions.loc, predictions.priors, {
    indices: candidates.indices,
    variances: rule.variances as [number, number],
    counts,
  });
  const best = ops.fastNms(boxes, pick(predictions.conf), {
    counts,
    kind: rule.nms,
    iouThreshold: rule.nmsThreshold,
    topK: rule.topK,
    maxOutput: rule.maxDetections,
    maxSize: config.image.size,
    background: true,
    // The other kinds apply no threshold of their own to a class's scores.
    ...(rule.nms === 'traditional' && { scoreThreshold: rule.confThreshold }),
  });
  const kept = (values: SymbolicTensor): SymbolicTensor =>
    ops.gatherRows(values, best.indices, { counts: best.counts });
  const all = {
    boxes: kept(boxes),
    scores: best.scores,
    labels: best.classes,
    coefficients: kept(pick(predictions.coefficients)),
  };
  if (rule.scoreThreshold <= 0) return { ...all, counts: best.counts };
  const above = ops.filterBoxes(all.boxes, all.scores, { scoreThreshold: rule.scoreThreshold, counts: best.counts });
  const take = (values: SymbolicTensor): SymbolicTensor =>
    ops.gatherRows(values, above.indices, { counts: above.counts });
  return {
    boxes: take(all.boxes),
    scores: take(all.scores),
    labels: take(all.labels),
    coefficients: take(all.coefficients),
    counts: above.counts,
  };
}

/** The predicted IoU of each mask with the object, f32 [N, D] (YOLACT++, section 3.3). */
function maskIou(
  masks: SymbolicTensor,
  labels: SymbolicTensor,
  counts: SymbolicTensor,
  parameters: Parameters,
  layers: number,
): SymbolicTensor {
  let x = masks;
  for (let i = 0; i < layers; i += 1) {
    const stride = i === layers - 1 ? 1 : 2; // the last one is 1x1
    x = ops.relu(conv(x, parameters.scope(String(2 * i)), { stride, counts }));
  }
  const pooled = ops.adaptivePool2d(x, { output: 1, kind: 'max', counts });
  return reshape(ops.selectChannel(pooled, labels, { counts }), labels.shape);
}

/** Side of the prototypes: the stride of the finest level is 8, and the network upsamples it once. */
function prototypeSide(config: YolactConfig): number {
  const upsampled = config.protonet.layers.filter(({ kind }) => kind === 'upsample').length;
  let side = config.image.size;
  for (let stride = 1; stride < 8; stride *= 2) side = Math.ceil(side / 2);
  return side * 2 ** upsampled;
}

/** Size that the masks are given out at, where it is not that of each image. */
function maskSide(config: YolactConfig): number | undefined {
  const { resolution } = config.mask;
  if (resolution === 'original') return undefined;
  return resolution === 'input' ? config.image.size : prototypeSide(config);
}

/** `sizes` with what the masks are enlarged to in the place of the images' own sizes. */
function maskSizes(sizes: SymbolicTensor, config: YolactConfig): TensorLike {
  const side = maskSide(config);
  if (side === undefined) return sizes;
  const images = sizes.shape[0]!;
  return Tensor.from(new Int32Array(images * 4).fill(side), [images, 4]);
}

function record(
  { sizes, images, features }: NetworkInputs,
  _jobs: readonly Job[],
  parameters: Parameters,
  config: YolactConfig,
  probe: Probe = {},
): YolactOutputs {
  const see: See = (name, tensor) => {
    probe.see?.(name, tensor);
    return tensor;
  };
  const { image } = config;
  const input = see(
    'image',
    ops.preprocess(images, sizes, {
      height: image.size,
      width: image.size,
      mean: image.mean,
      std: image.std,
      scale: image.scale,
      order: image.normalizeBeforeResize ? 'normalizeFirst' : 'resizeFirst',
      // Mean and deviation are given for BGR; the network sees RGB.
      swapInput: true,
      swapOutput: true,
    }),
  );
  const stages = backbone(ops.cast(input, features), parameters.scope('backbone'), config);
  stages.forEach((map, i) => see(`backbone.c${i + 2}`, map));
  const selected = config.backbone.selected.map((i) => stages[i]!);
  const levels = pyramid(selected, parameters.scope('fpn'), config);
  levels.forEach((map, i) => see(`fpn.p${i + 3}`, map));
  const proto = see('proto', ops.cast(prototypes(levels[0]!, parameters.scope('proto_net'), config), 'f32'));

  const { loc, logits, coefficients } = predict(levels, parameters.scope('prediction_layers.0'), config);
  const conf = see('conf', ops.softmax(see('conf_logits', logits)));
  const priors = see('priors', allPriors(levels, config));
  see('loc', loc);
  see('mask', coefficients);
  const found = detect({ loc, conf, coefficients, priors }, config);
  const { boxes, scores, labels, counts } = found;
  see('boxes_relative', withCount(boxes, counts, 1));

  const cropPadding = config.mask.cropPadding;
  const masks = ops.assembleMasks(proto, found.coefficients, boxes, { counts, padding: cropPadding });
  const { rescore } = config.mask;
  const iou = rescore
    ? see(
        'maskiou',
        withCount(
          maskIou(
            ops.cast(masks, features),
            labels,
            counts,
            parameters.scope('maskiou_net.maskiou_net'),
            rescore.convs.length + 1,
          ),
          counts,
          1,
        ),
      )
    : undefined;
  const pasted = ops.upsampleMasks(masks, maskSizes(sizes, config), { counts, threshold: config.mask.threshold });
  const rows = (tensor: SymbolicTensor): SymbolicTensor => withCount(tensor, counts, 1);
  const maskScores = iou ? ops.multiply(scores, iou) : scores;
  return {
    counts,
    boxes: rows(ops.yolactBoxes(boxes, sizes, { counts })),
    scores: rows(rescore && config.mask.rescoreBoxes ? maskScores : scores),
    maskScores: rows(maskScores),
    labels: rows(labels),
    regions: pasted.regions,
    offsets: pasted.offsets,
    bits: pasted.bits,
  };
}

/** dbolya/yolact's networks. */
export const yolact: Network<YolactConfig, YolactOutputs> = {
  configure(config, options) {
    refuse(options, ['minSize', 'maxSize', 'preNmsTopN', 'postNmsTopN', 'rpnNmsThreshold'], 'YOLACT');
    return overrideConfig<YolactConfig>(config, {
      detect: defined({
        scoreThreshold: fraction(options, 'scoreThreshold'),
        nmsThreshold: fraction(options, 'nmsThreshold'),
        maxDetections: count(options, 'maxDetections', 10_000),
        topK: count(options, 'topK', 10_000),
        nms: options.nms === undefined ? undefined : requireOneOf('nms', options.nms, NMS_KINDS),
      }),
      mask: defined({
        threshold: fraction(options, 'maskThreshold'),
        resolution:
          options.maskResolution === undefined
            ? undefined
            : requireOneOf('maskResolution', options.maskResolution, RESOLUTIONS),
        rescoreBoxes: options.rescoreBoxes,
      }),
    });
  },
  // The aspect ratio is not kept.
  sizes(_image, config) {
    const size = { height: config.image.size, width: config.image.size };
    return { resized: size, padded: size };
  },
  planKey: (_jobs, config) => [config.detect, config.mask],
  maskSize(config) {
    const side = maskSide(config);
    return side === undefined ? undefined : { height: side, width: side };
  },
  record,
  describe(outputs, row, config) {
    const [x1, y1, x2, y2] = rowOf(outputs.boxes, row) as [number, number, number, number];
    // An object that lies beside the image: its clamped box is inside out.
    if (x2 <= x1 || y2 <= y1) return undefined;
    const classId = outputs.labels.data[row]! + 1; // the network's labels leave the background out
    return {
      label: config.classNames[classId] ?? String(classId),
      classId,
      categoryId: config.categoryIds[classId] ?? classId,
      score: outputs.maskScores.data[row]!,
      boxScore: outputs.scores.data[row]!,
      box: [x1, y1, x2 - x1, y2 - y1],
    };
  },
};

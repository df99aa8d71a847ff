/** Options of calls, for all networks. */
import { abortSignal, flag, integer, optional, readOptions, unchecked, type OptionChecks } from '../runtime/options.js';
import { invalid } from '../runtime/validate.js';

/** Everything left out is as the model's family defines it. An option that the family does not have is ERR_ARGUMENT. */
export interface SegmentOptions {
  /** A detection needs a class score above this, 0 to 1. */
  readonly scoreThreshold?: number | undefined;
  /** IoU above which the weaker of two detections of a class is dropped, 0 to 1. */
  readonly nmsThreshold?: number | undefined;
  /** Most detections an image. */
  readonly maxDetections?: number | undefined;
  /** A pixel belongs to a mask where its probability is above this, 0 to 1. */
  readonly maskThreshold?: number | undefined;
  /** Mask R-CNN: the image is resized so that its shorter side has this many pixels ... */
  readonly minSize?: number | undefined;
  /** ... unless its longer side would have more than this. */
  readonly maxSize?: number | undefined;
  /** Mask R-CNN: candidates of each pyramid level before the proposals' NMS. */
  readonly preNmsTopN?: number | undefined;
  /** Mask R-CNN: proposals after it. */
  readonly postNmsTopN?: number | undefined;
  /** Mask R-CNN: IoU threshold of the proposals' NMS, 0 to 1. */
  readonly rpnNmsThreshold?: number | undefined;
  /**
   * YOLACT: `fast` suppresses a class at a time, a suppressed box still suppressing others (the default); `cross-class`
   * the same over the best class of each anchor; `traditional` is greedy NMS, a class at a time.
   */
  readonly nms?: 'fast' | 'cross-class' | 'traditional' | undefined;
  /** YOLACT: boxes of a class (of all classes with `cross-class`) that enter the NMS, by score. */
  readonly topK?: number | undefined;
  /**
   * YOLACT: size of the masks: of the image (the default), of the network's input, or of the prototypes as they are (a
   * quarter of that). Boxes are in pixels of the image whatever it is.
   */
  readonly maskResolution?: 'original' | 'input' | 'prototype' | undefined;
  /** YOLACT++: multiplies the box's score by the predicted mask IoU too. */
  readonly rescoreBoxes?: boolean | undefined;
  /** Whether the EXIF orientation is applied; by default true. */
  readonly applyOrientation?: boolean | undefined;
  /** `image_id` of the JSON; by default the file's base name. */
  readonly imageId?: string | number | undefined;
  /** Measures where the time of the call goes; see `profile` of SegmentationResult. For single images. */
  readonly profile?: boolean | undefined;
  /** Takes the call out of the queue, or stops it before its next op; rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Numbers and kinds are checked with the configuration of the model, whose family decides which options there are. */
export const SEGMENT_OPTIONS = {
  scoreThreshold: unchecked,
  nmsThreshold: unchecked,
  maxDetections: unchecked,
  maskThreshold: unchecked,
  minSize: unchecked,
  maxSize: unchecked,
  preNmsTopN: unchecked,
  postNmsTopN: unchecked,
  rpnNmsThreshold: unchecked,
  nms: unchecked,
  topK: unchecked,
  maskResolution: unchecked,
  rescoreBoxes: optional(flag),
  applyOrientation: optional(flag),
  imageId: unchecked,
  profile: optional(flag),
  signal: abortSignal,
} satisfies OptionChecks<SegmentOptions>;

/** The options of `segment(image)`, whose names, flags and signal are right. */
export function requireSegmentOptions(options: SegmentOptions | undefined): SegmentOptions {
  readOptions('segment', options, SEGMENT_OPTIONS);
  return options ?? {};
}

/** Options of `segment([...])`. */
export interface SegmentBatchOptions extends Omit<SegmentOptions, 'profile'> {
  /**
   * Pads all images to the size of the largest one and runs them as one batch, as torchvision does with a list. Results
   * then depend a little on which images come together; without it each image's result is exactly that of its own call.
   */
  readonly padTogether?: boolean | undefined;
}

const { profile: _, ...ofEveryImage } = SEGMENT_OPTIONS;
const BATCH_OPTIONS = { ...ofEveryImage, padTogether: optional(flag) } satisfies OptionChecks<SegmentBatchOptions>;

/** The same of `segment([...])`. */
export function requireBatchOptions(options: SegmentBatchOptions): SegmentBatchOptions {
  readOptions('segment([...])', options, BATCH_OPTIONS);
  return options;
}

/** Options of `stream`. */
export interface StreamOptions extends SegmentOptions {
  /** Images read ahead of the one whose result is awaited; by default 2. */
  readonly maxInFlight?: number | undefined;
}

const STREAM_OPTIONS = {
  ...SEGMENT_OPTIONS,
  maxInFlight: optional(integer(1, 1024)),
} satisfies OptionChecks<StreamOptions>;

/** The same of `stream`. */
export function requireStreamOptions(options: StreamOptions): StreamOptions {
  readOptions('stream', options, STREAM_OPTIONS);
  return options;
}

/** The images of a stream. */
export function requireIterable<T>(name: string, value: AsyncIterable<T> | Iterable<T>): typeof value {
  const methods = value as { [Symbol.asyncIterator]?: unknown; [Symbol.iterator]?: unknown } | null | undefined;
  const found = methods?.[Symbol.asyncIterator] ?? methods?.[Symbol.iterator];
  if (typeof found === 'function' && typeof value !== 'string') return value;
  throw invalid(name, 'an iterable or async iterable of images', value);
}

/** Arithmetic of feature maps. */
export const PRECISIONS = ['f32', 'tf32', 'f16', 'bf16'] as const;
/** See `precision` of LoadOptions. */
export type Precision = (typeof PRECISIONS)[number];

/** How a model uses its device; set when it is loaded. */
export interface SegmenterOptions {
  /** Calls that may wait before more are refused with ERR_OVERLOADED; by default 256. */
  readonly maxQueue?: number | undefined;
  /** Most images of equal padded size that run as one batch in `segment([...])`; by default 4. */
  readonly maxBatch?: number | undefined;
  /** Bytes of compiled plans that are kept, one a padded size; by default 64 MiB. */
  readonly planCacheBytes?: number | undefined;
}

export const SEGMENTER_OPTIONS = {
  maxQueue: optional(integer(0)),
  maxBatch: optional(integer(1, 64)),
  planCacheBytes: optional(integer(0)),
} satisfies OptionChecks<SegmenterOptions>;

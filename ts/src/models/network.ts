/** What a network must tell the segmenter: everything that differs from family to family. */
import type { DecodedImage } from '../image/decode.js';
import type { Parameters } from '../nn/parameters.js';
import type { Size } from '../nn/resized-size.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import type { ResultOf } from '../runtime/plan.js';
import type { Instance } from './result.js';
import type { SegmentOptions } from './options.js';

/** One decoded image with the sizes that it goes through. */
export interface Job {
  readonly image: DecodedImage;
  /** After the resize. */
  readonly resized: Size;
  /** Of the network's input. */
  readonly padded: Size;
}

/** The inputs of a plan: N images of any size that share a padded size. */
export interface NetworkInputs {
  /** i32 [N, 4]: original height and width, resized height and width. */
  readonly sizes: SymbolicTensor;
  /** u8 or f32 [H, W, 3], RGB, 0 to 255. */
  readonly images: readonly SymbolicTensor[];
  /** Of feature maps. What decides (boxes, scores, coordinates) is f32 always. */
  readonly features: 'f32' | 'f16' | 'bf16';
}

/** Results that every network has, each with a fixed capacity D of detections an image. */
export interface NetworkOutputs {
  /** Valid detections, i32 [N]. */
  readonly counts: SymbolicTensor;
  /** [N, D, 4], x1, y1, x2, y2 in the original image. */
  readonly boxes: SymbolicTensor;
  /** f32 [N, D] */
  readonly scores: SymbolicTensor;
  /** i32 [N, D] */
  readonly labels: SymbolicTensor;
  /** i32 [N, D, 4]: x, y, width, height of each mask's bits in the original image. */
  readonly regions: SymbolicTensor;
  /** i32 [N, D]: first 32-bit word of each mask. */
  readonly offsets: SymbolicTensor;
  /** u8: the masks' bits, see masks/bits.ts. */
  readonly bits: SymbolicTensor;
}

/** For tests of single stages: sees intermediate tensors. Networks add what may be put in the place of decisions. */
export interface Probe {
  /** Called with every stage's result under its name in the reference data (body.c2, fpn.0, rpn.deltas.1 ...). */
  readonly see?: (stage: string, tensor: SymbolicTensor) => void;
}

/**
 * A network of one family. `Config` is everything that its forward pass depends on, as plain JSON; `Outputs` what its
 * plan returns.
 */
export interface Network<Config, Outputs extends NetworkOutputs = NetworkOutputs> {
  /** The configuration with a call's options in it. Throws ERR_ARGUMENT for options that the family does not have. */
  configure(config: Config, options: SegmentOptions): Config;
  /** The sizes that an image goes through. */
  sizes(image: Size, config: Config): { readonly resized: Size; readonly padded: Size };
  /**
   * What a plan for these images depends on besides their padded size and number: plans are cached, and images run
   * together, where it is equal.
   */
  planKey(jobs: readonly Job[], config: Config): unknown;
  /** The size that an image's masks have, where it is not the image's own. */
  maskSize?(config: Config): Size | undefined;
  /** Records the forward pass into the recording under way. */
  record(inputs: NetworkInputs, jobs: readonly Job[], parameters: Parameters, config: Config, probe?: Probe): Outputs;
  /** Detection `row` of the outputs, in image `n`, but for its mask; undefined leaves it out. */
  describe(outputs: ResultOf<Outputs>, row: number, config: Config): Omit<Instance, 'area' | 'mask'> | undefined;
}

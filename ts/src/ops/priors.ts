import { record, type SymbolicTensor } from '../runtime/graph.js';
import { readOptions, optional, flag, number, type OptionChecks } from '../runtime/options.js';
import { numbers, pair, type Pair } from './options.js';

/** Options of {@link priors}. */
export interface PriorsOptions {
  /** Height and width of the feature map. */
  readonly grid: Pair;
  /** Side of the network's input in pixels. */
  readonly maxSize: number;
  /** Sides in pixels of that input. */
  readonly scales: readonly number[];
  /** Width to height; their square roots scale the sides. */
  readonly ratios: readonly number[];
  /** Heights repeat the widths, as YOLACT's base models were trained with by accident; default false. */
  readonly square?: boolean | undefined;
}

const OPTIONS = {
  grid: pair(0),
  maxSize: number(0),
  scales: numbers,
  ratios: numbers,
  square: optional(flag),
} satisfies OptionChecks<PriorsOptions>;

/**
 * YOLACT's prior boxes of one feature map: centres (i + 0.5) / cells, sides scale * sqrt(ratio) and scale / sqrt(ratio)
 * over `maxSize`. Computed in f64 and rounded once.
 * @returns f32 [h * w * A, 4] (cx, cy, w, h, relative to the image) in the order y, x, scale, ratio
 * @throws InstasegError ERR_ARGUMENT
 * @see PredictionModule.make_priors of dbolya/yolact (Bolya et al., YOLACT, 2019)
 */
export function priors(options: PriorsOptions): SymbolicTensor {
  return record('priors', [], readOptions('priors', options, OPTIONS))[0]!;
}

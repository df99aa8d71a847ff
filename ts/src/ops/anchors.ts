import { record, type SymbolicTensor } from '../runtime/graph.js';
import { readOptions, optional, number, type OptionChecks } from '../runtime/options.js';
import { numbers, pair, type Pair } from './options.js';

/** Options of {@link anchors}. */
export interface AnchorsOptions {
  /** Height and width of the feature map. */
  readonly grid: Pair;
  /** Image pixels from cell to cell, y and x. */
  readonly stride: Pair;
  /** x1, y1, x2, y2 of each of the A anchors of the cell at the origin, one after the other. */
  readonly base: readonly number[];
  /** Image pixels added to every coordinate; default 0. */
  readonly offset?: number | undefined;
}

const OPTIONS = {
  grid: pair(0),
  stride: pair(1),
  base: numbers,
  offset: optional(number(-1e9, 1e9)),
} satisfies OptionChecks<AnchorsOptions>;

/**
 * Base anchors repeated over a feature map's cells.
 * @returns f32 [h * w * A, 4] (x1, y1, x2, y2 in image pixels) in the order y, x, anchor
 * @throws InstasegError ERR_ARGUMENT
 * @see torchvision.models.detection.anchor_utils.AnchorGenerator.grid_anchors
 */
export function anchors(options: AnchorsOptions): SymbolicTensor {
  return record('anchors', [], readOptions('anchors', options, OPTIONS))[0]!;
}

/** Where a measured time lies under the two ceilings of a device. */
import type { Ceilings } from './ceilings.js';
import type { OpPrecision } from './check.js';

/** What a call does, and how long it took. */
export interface MeasuredWork {
  readonly flops: number;
  readonly bytes: number;
  readonly milliseconds: number;
  readonly precision: OpPrecision;
  /** Works on counted rows: what it really did is less than flops and bytes say. */
  readonly counted?: boolean;
}

export interface UnderRoofline {
  /**
   * Of the measured ceiling; above 100 where an algorithm needs fewer multiplications. Null without arithmetic, and for
   * precisions other than f32, whose units are not those that the ceiling is measured with.
   */
  readonly percentOfArithmetic: number | null;
  /** Above 100 where data come out of a cache. */
  readonly percentOfBandwidth: number | null;
  /** The ceiling that the roofline puts over it. */
  readonly bound: 'compute' | 'memory';
}

export function underRoofline(
  { flops, bytes, milliseconds, precision, counted = false }: MeasuredWork,
  { gflops, gbps }: Pick<Ceilings, 'gflops' | 'gbps'>,
): UnderRoofline {
  const known = !counted && milliseconds > 0;
  const percent = (amount: number, ceiling: number): number => (100 * (amount / milliseconds / 1e6)) / ceiling;
  return {
    percentOfArithmetic: known && flops > 0 && precision === 'f32' ? percent(flops, gflops) : null,
    percentOfBandwidth: known ? percent(bytes, gbps) : null,
    bound: flops / gflops > bytes / gbps ? 'compute' : 'memory',
  };
}

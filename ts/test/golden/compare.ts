/** Differences between what was computed and what the reference says. */

/** The outcome of one comparison. */
export interface Comparison {
  /** At the element that is worst in relation to what is allowed there. */
  readonly difference: number;
  readonly allowed: number;
  readonly ok: boolean;
  /** What to say about it. */
  readonly note?: string;
}

export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** |actual - expected| <= atol + rtol * |expected|; NaN matches NaN, infinities match themselves. */
export function compareValues(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol, atol }: Tolerance,
): Comparison {
  if (actual.length !== expected.length) {
    return failed(`there are ${actual.length} values, expected ${expected.length}`, atol);
  }
  let worst = { difference: 0, allowed: atol, ratio: -1, at: -1 };
  for (let i = 0; i < expected.length; i += 1) {
    const [a, e] = [actual[i]!, expected[i]!];
    const same = a === e || (Number.isNaN(a) && Number.isNaN(e));
    const difference = same ? 0 : Math.abs(a - e);
    const allowed = atol + (Number.isFinite(e) ? rtol * Math.abs(e) : 0);
    const ratio = difference === 0 ? 0 : difference / allowed;
    if (!(ratio <= worst.ratio)) worst = { difference, allowed, ratio, at: i };
  }
  const ok = worst.ratio <= 1;
  const { difference, allowed, at } = worst;
  return ok
    ? { difference, allowed, ok }
    : { difference, allowed, ok, note: `element ${at} is ${actual[at]}, expected ${expected[at]}` };
}

export function compareShapes(actual: readonly number[], expected: readonly number[]): Comparison | undefined {
  if (actual.length === expected.length && actual.every((dim, i) => dim === expected[i])) return undefined;
  return failed(`the shape is [${actual.join(', ')}], expected [${expected.join(', ')}]`);
}

export function failed(note: string, allowed = 0): Comparison {
  return { difference: Infinity, allowed, ok: false, note };
}

/** The comparison that is worst in relation to what it allows. */
export function worstOf(comparisons: readonly Comparison[]): Comparison {
  const ratio = ({ difference, allowed }: Comparison): number => (difference === 0 ? 0 : difference / allowed);
  const bad = comparisons.filter(({ ok }) => !ok);
  const candidates = bad.length > 0 ? bad : comparisons;
  return candidates.reduce((worst, next) => (ratio(next) > ratio(worst) ? next : worst));
}

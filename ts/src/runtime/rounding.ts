/** Rounds to the nearest integer, halves to the even one, as IEEE 754, Python and C's rint do; Math.round takes them up. */
export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

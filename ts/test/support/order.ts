/** The order of topK, sort and nms: by value, NaN last, equal values by index. */
export function sortedIndices(values: ArrayLike<number>, descending: boolean, count = values.length): number[] {
  return Array.from({ length: count }, (_, i) => i).sort((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a - b;
    if (x === y) return a - b;
    return x < y === descending ? 1 : -1;
  });
}

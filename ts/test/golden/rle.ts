/** COCO's compressed run lengths, read independently of the package. */

/** Run lengths out of a compressed string: base 32 digits with a sign, from the third on relative to the one before last. */
function runLengths(text: string): number[] {
  const runs: number[] = [];
  let at = 0;
  while (at < text.length) {
    let [value, shift, more] = [0, 0, true];
    while (more) {
      const digit = text.charCodeAt(at) - 48;
      at += 1;
      value |= (digit & 31) << shift;
      more = (digit & 32) !== 0;
      shift += 5;
      if (!more && digit & 16) value |= -1 << shift;
    }
    runs.push(runs.length > 2 ? value + runs.at(-2)! : value);
  }
  return runs;
}

/** Row-major pixels, 0 or 1, of a mask that is stored by columns. */
export function decodeMask({
  size: [height, width],
  counts,
}: {
  readonly size: readonly [number, number];
  readonly counts: string;
}): Uint8Array {
  const pixels = new Uint8Array(height * width);
  let position = 0;
  runLengths(counts).forEach((run, i) => {
    for (let end = position + run; position < end; position += 1) {
      if (i % 2 === 1) pixels[(position % height) * width + Math.floor(position / height)] = 1;
    }
  });
  return pixels;
}

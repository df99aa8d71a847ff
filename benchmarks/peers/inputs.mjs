// Inputs that every side makes alike: a 31-bit linear congruential generator, and everything from it.

export function noise(shape, seed, scale = 1) {
  let state = seed;
  const data = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
  for (let i = 0; i < data.length; i += 1) {
    state = (state * 48271) % 2147483647;
    data[i] = (state / 2147483647 - 0.5) * scale;
  }
  return { shape, data };
}

/** RGB noise in squares of 8 x 8 pixels, u8 [height, width, 3]: single pixels would leave random networks little to tell apart. */
export function noiseImage({ height, width }) {
  const columns = Math.ceil(width / 8);
  const squares = new Uint8Array(Math.ceil(height / 8) * columns * 3);
  let state = 1;
  for (let i = 0; i < squares.length; i += 1) {
    state = (state * 48271) % 2147483647;
    squares[i] = (state / 2147483647) * 256;
  }
  const data = new Uint8Array(height * width * 3);
  for (let i = 0; i < data.length; i += 1) {
    const [y, x, c] = [Math.floor(i / 3 / width), Math.floor(i / 3) % width, i % 3];
    data[i] = squares[((y >> 3) * columns + (x >> 3)) * 3 + c];
  }
  return { data, width, height, channels: 3 };
}

export function toNchw({ shape: [n, height, width, channels], data }) {
  const out = new Float32Array(data.length);
  const pixels = height * width;
  for (let i = 0; i < n; i += 1) {
    for (let p = 0; p < pixels; p += 1) {
      for (let c = 0; c < channels; c += 1)
        out[(i * channels + c) * pixels + p] = data[(i * pixels + p) * channels + c];
    }
  }
  return { shape: [n, channels, height, width], data: out };
}

/** Shape of a convolution's output, [N, OH, OW, outputs]. */
function outputOf({ input: [n, height, width], outputs, kernel, stride }) {
  const padding = (kernel - 1) >> 1;
  const side = (size) => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return [n, side(height), side(width), outputs];
}

/** Two for each multiply-add. */
export function flopsOf(work) {
  return 2 * outputOf(work).reduce((product, dim) => product * dim, 1) * work.input[3] * work.kernel ** 2;
}

/** What both sides compute for a convolution of a shape file: input, weight, bias, for deformable ones offsets and masks. */
export function convolution(work) {
  const { op, input, outputs, kernel } = work;
  const from = input[3];
  const output = outputOf(work);
  const deformable = op === 'deformConv2d';
  const taps = kernel * kernel;
  return {
    deformable,
    padding: (kernel - 1) >> 1,
    output,
    x: noise(input, 1),
    weight: noise([outputs, from, kernel, kernel], 2, 2 * Math.sqrt(3 / (from * taps))),
    bias: noise([outputs], 3),
    ...(deformable && {
      offset: noise([...output.slice(0, 3), 2 * taps], 4, 4), // up to two pixels
      mask: noise([...output.slice(0, 3), taps], 5),
    }),
  };
}

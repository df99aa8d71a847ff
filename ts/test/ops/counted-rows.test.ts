/** What a counted result is cut to when it is read: rows, even where there is a single one. */
import test from 'ava';
import { Device, ops, Tensor, type SymbolicTensor } from '../../src/index.js';
import { assertClose, randomTensor, TEST_DEVICE } from '../support/ops.js';

type Counted = (input: Tensor, options: { counts?: Tensor }) => SymbolicTensor;

const CASES: Readonly<Record<string, { readonly shape: readonly number[]; readonly op: Counted }>> = {
  conv2d: {
    shape: [8, 8, 3],
    op: (input, options) => ops.conv2d(input, randomTensor(1, [4, 3, 3, 3]), { padding: 1, ...options }),
  },
  convTranspose2d: {
    shape: [4, 4, 2],
    op: (input, options) => ops.convTranspose2d(input, randomTensor(1, [2, 3, 2, 2]), { stride: 2, ...options }),
  },
  linear: { shape: [4], op: (input, options) => ops.linear(input, randomTensor(1, [3, 4]), options) },
  batchNorm: {
    shape: [2, 4],
    op: (input, options) =>
      ops.batchNorm(input, {
        mean: randomTensor(1, [4]),
        variance: Tensor.from(Float32Array.of(1, 2, 3, 4)),
        ...options,
      }),
  },
  softmax: { shape: [5], op: (input, options) => ops.softmax(input, options) },
};

for (const [name, { shape, op }] of Object.entries(CASES)) {
  test(`a result of ${name} is cut to its counted rows, one row included`, async (t) => {
    await using device = await Device.open(TEST_DEVICE);
    for (const rows of [1, 3]) {
      const input = randomTensor(2, [rows, ...shape]);
      const whole = await device.run(() => op(input, {}));
      for (const count of [-2, 0, 1, 2, 9]) {
        const kept = Math.min(Math.max(count, 0), rows);
        const output = await device.run(() => op(input, { counts: Tensor.from(Int32Array.of(count)) }));
        t.deepEqual(output.shape, [kept, ...whole.shape.slice(1)], `${count} of ${rows}`);
        // Counted rows may be computed by another kernel, which rounds differently.
        const expected = whole.data.slice(0, (whole.length / rows) * kept);
        assertClose(t, output.data, expected, { rtol: 1e-5, atol: 1e-6 }, `${count} of ${rows}`);
      }
    }
  });
}

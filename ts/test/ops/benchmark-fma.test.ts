import test from 'ava';
import { Device, Tensor } from '../../src/index.js';
import { benchmarkFma } from '../../src/ops/benchmark-fma.js';
import { forEachVariant } from '../support/ops.js';
import { refused } from './checks.js';

// Below, at and above the group of 192 that kernels hold in registers.
for (const count of [0, 1, 191, 192, 193, 1000]) {
  forEachVariant(test, 'benchmarkFma', `adds up exactly, ${count} elements`, async (t, device) => {
    // Small integers: no step rounds, fused or not.
    const input = Tensor.from(Float32Array.from({ length: count }, (_, i) => i % 7));
    const output = await device.run(() => benchmarkFma(input, { length: 5, factor: 2, addend: 3 }));
    const expected = Array.from(input.data, (x) => {
      let value = x;
      for (let k = 0; k < 5; k += 1) value = value * 2 + 3;
      return value;
    });
    t.deepEqual(Array.from(output.data), expected);
  });
}

forEachVariant(test, 'benchmarkFma', 'of no steps is the input', async (t, device) => {
  const input = Tensor.from(Float32Array.from([1, -2, 0.1]));
  const output = await device.run(() => benchmarkFma(input, { length: 0 }));
  t.deepEqual(output.data, input.data);
});

test('benchmarkFma counts two operations a step', async (t) => {
  const device = await Device.open('cpu', { threads: 1 });
  const plan = await device.compile([{ dtype: 'f32', shape: [10] }], (x) => benchmarkFma(x, { length: 7 }));
  t.is(plan.steps[0]!.flops, 140);
  await device.dispose();
});

test('benchmarkFma refuses what makes no sense', async (t) => {
  const input = Tensor.from(new Float32Array(4));
  await refused(t, () => benchmarkFma(input, { length: -1 }), 'ERR_ARGUMENT', /length/);
  await refused(t, () => benchmarkFma(Tensor.from(new Int32Array(4)), { length: 1 }), 'ERR_DTYPE', /f32/);
});

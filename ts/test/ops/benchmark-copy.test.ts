import test from 'ava';
import { Tensor } from '../../src/index.js';
import { benchmarkCopy } from '../../src/ops/benchmark-copy.js';
import { forEachVariant, randomTensor } from '../support/ops.js';
import { refused } from './checks.js';

// Around the 16 elements that are stored together and the chunk of a thread, 65536.
for (const count of [0, 1, 15, 16, 17, 65_535, 65_537, 200_000]) {
  forEachVariant(test, 'benchmarkCopy', `is the input, ${count} elements`, async (t, device) => {
    const input = randomTensor(count + 1, [count]);
    const output = await device.run(() => benchmarkCopy(input));
    t.deepEqual(output.shape, [count]);
    t.true(
      Buffer.from(output.data.buffer, output.data.byteOffset, output.data.byteLength).equals(
        Buffer.from(input.data.buffer, input.data.byteOffset, input.data.byteLength),
      ),
    );
  });
}

test('benchmarkCopy takes f32 only', async (t) => {
  await refused(t, () => benchmarkCopy(Tensor.from(new Int32Array(4))), 'ERR_DTYPE', /f32/);
});

import test from 'ava';
import { ops } from '../../src/index.js';
import { floats, ints, rejects } from '../support/boxes.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';

forEachVariant(test, 'selectChannel', 'picks the channel of each label', async (t, device) => {
  for (const [rows, height, width, channels] of [
    [1, 1, 1, 1],
    [4, 3, 5, 7],
    [6, 28, 28, 3],
    [0, 2, 2, 2],
  ] as const) {
    const input = randomTensor(rows, [rows, height, width, channels], { scale: 20 });
    const labels = Array.from({ length: rows }, (_, i) => (i * 5 + 2) % channels);
    const picked = Array.from(
      { length: rows * height * width },
      (_, i) => input.data[i * channels + labels[Math.floor(i / height / width)]!]!,
    );
    const plain = await device.run(() => ops.selectChannel(input, ints(labels)));
    t.deepEqual(plain.shape, [rows, height, width]);
    t.deepEqual([...plain.data], picked);
    const sigmoid = await device.run(() => ops.selectChannel(input, ints(labels), { activation: 'sigmoid' }));
    assertClose(
      t,
      sigmoid.data,
      picked.map((x) => 1 / (1 + Math.exp(-x))),
      { rtol: 3e-7 },
    );
  }
});

forEachVariant(test, 'selectChannel', 'saturates, passes NaN on, leaves uncounted rows alone', async (t, device) => {
  const input = floats([100, -200, NaN, Infinity, -Infinity, 0], [6, 1, 1, 1]);
  const result = await device.run(() => ops.selectChannel(input, ints([0, 0, 0, 0, 0, 0]), { activation: 'sigmoid' }));
  t.deepEqual([...result.data], [1, 0, NaN, 1, 0, 0.5]);
  const counted = await device.run(() =>
    ops.selectChannel(floats([1, 2, 3, 4, 5, 6, 7, 8], [4, 1, 1, 2]), ints([1, 99, 0, -7], [2, 2]), {
      counts: ints([1, 1]),
    }),
  );
  t.is(counted.data[0], 2);
  t.is(counted.data[2], 5);
});

forEachVariant(test, 'selectChannel', 'refuses labels outside and what does not fit', async (t, device) => {
  const input = floats([1, 2, 3, 4], [2, 1, 1, 2]);
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.selectChannel(input, ints([0, 2]))));
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.selectChannel(input, ints([-1, 0]))));
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.selectChannel(input, ints([0]))));
  await rejects(t, 'ERR_DTYPE', () => device.run(() => ops.selectChannel(input, floats([0, 0]))));
  await rejects(t, 'ERR_ARGUMENT', () =>
    device.run(() => ops.selectChannel(input, ints([0, 0]), { activation: 'tanh' as 'none' })),
  );
});

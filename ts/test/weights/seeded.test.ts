import test from 'ava';
import { seededTensor, seededWeights } from '../../src/weights/seeded.js';
import { failsWith, readAll } from './support.js';

// Numbers of scripts that compute the same in NumPy (float64, rounded once).
const vectors: [string, number, number[], number[]][] = [
  ['conv.weight', 1, [2, 1, 3, 3], [0.6494787931442261, -0.4654900133609772, 0.03187444433569908, 0.2044895440340042]],
  [
    'backbone.body.conv1.weight',
    7,
    [64, 3, 7, 7],
    [0.18200865387916565, 0.02841673046350479, -0.19644439220428467, 0.18269102275371552],
  ],
  [
    'é.bias',
    0xffffffff,
    [4],
    [-0.007257789373397827, -0.020052218809723854, 0.0062447190284729, -0.007074671797454357],
  ],
];

for (const [name, seed, shape, values] of vectors) {
  test(`${name} has the values that PyTorch is given`, (t) => {
    t.deepEqual([...seededTensor(name, shape, seed).subarray(0, 4)], values);
  });
}

test('the first rule that fits applies', (t) => {
  const plain = seededTensor('a.weight', [2, 3], 1);
  const rules = [
    ['b\\.', 9, 0],
    ['^a\\.w', 2, 0],
    ['a', 3, 0],
  ] as const;
  t.deepEqual(
    seededTensor('a.weight', [2, 3], 1, rules),
    plain.map((value) => value * 2),
  );
});

test('biases take the offset and single extras, and no gain', (t) => {
  const plain = seededTensor('a.bias', [3], 1);
  const moved = seededTensor('a.bias', [3], 1, [['a', 5, 10, { 1: 100 }]]);
  moved.forEach((value, i) => t.is(Math.abs(value - ((plain[i] as number) + 10 + (i === 1 ? 100 : 0))) < 1e-5, true));
});

test('normalisation has its own ranges', (t) => {
  const range = (values: Float32Array): [number, number] => [Math.min(...values), Math.max(...values)];
  const within = (values: Float32Array, low: number, high: number): boolean =>
    range(values)[0] >= low && range(values)[1] <= high && range(values)[1] - range(values)[0] > (high - low) / 2;
  t.true(within(seededTensor('bn.weight', [99], 1), 0.5, 1.5));
  t.true(within(seededTensor('bn.running_mean', [99], 1), -0.2, 0.2));
  t.true(within(seededTensor('bn.running_var', [99], 1), 0.5, 1.5));
  t.true(within(seededTensor('bn.bias', [99], 1, [], true), -0.2, 0.2));
  t.true(within(seededTensor('conv.bias', [99], 1), -0.05, 0.05));
  t.deepEqual([...seededTensor('bn.num_batches_tracked', [], 1)], [0]);
});

test('a whole model knows which biases belong to a normalisation', async (t) => {
  const shapes = new Map([
    ['bn.bias', [9]],
    ['bn.running_mean', [9]],
    ['conv.bias', [9]],
  ]);
  const [bn, , conv] = seededWeights(shapes, 3);
  t.deepEqual(bn?.values(), seededTensor('bn.bias', [9], 3, [], true));
  t.deepEqual(conv?.values(), seededTensor('conv.bias', [9], 3, [], false));
  t.deepEqual(await readAll(bn?.read() ?? []), Buffer.from(bn?.values().buffer as ArrayBuffer));
});

test('the seed is checked', async (t) => {
  for (const seed of [-1, 0.5, 2 ** 32, NaN])
    await failsWith(() => seededTensor('a', [1], seed), 'ERR_ARGUMENT', /^seed must be/);
  t.pass();
});

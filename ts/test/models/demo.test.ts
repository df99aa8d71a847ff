// The accuracy of the bundled networks on 40 scenes of the held-out split (scripts/train/README.md), which a change of
// any kernel, of the decoding or of the weights would move. The figures are those of the f32 CPU backend; PyTorch's,
// for the same weights on all 200 scenes, are in docs/models/.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'ava';
import { evaluateCoco, load, loadCocoDataset, type CocoResult } from '../../src/index.js';

const FIXTURE = resolve(__dirname, '../../../ts/test/fixtures/demo');

/** Mask AP may fall by so much: far more than arithmetic in another order changes, far less than any mistake does. */
const MARGIN = 0.01;

type Figures = Readonly<Record<'AP' | 'AP50', number>>;

const EXPECTED = JSON.parse(readFileSync(resolve(FIXTURE, 'expected.json'), 'utf8')) as Readonly<
  Record<string, Figures>
>;

for (const [name, expected] of Object.entries(EXPECTED)) {
  test.serial(`${name}: mask AP on held-out scenes is no lower than recorded`, async (t) => {
    t.timeout(120_000);
    const dataset = await loadCocoDataset(resolve(FIXTURE, 'instances.json'));
    const model = await load(name, { device: 'cpu' });
    const results: CocoResult[] = [];
    try {
      for (const { id, fileName } of dataset.images) {
        const result = await model.segment(resolve(FIXTURE, 'images', fileName!), { imageId: id });
        results.push(...result.toJSON());
      }
    } finally {
      await model.dispose();
    }
    const { stats } = await evaluateCoco(dataset, results, { iouType: 'segm' });
    for (const figure of ['AP', 'AP50'] as const) {
      const value = stats.find((stat) => stat.name === figure)!.value;
      t.log(`${figure} ${value.toFixed(4)}, recorded ${expected[figure].toFixed(4)}`);
      t.true(value >= expected[figure] - MARGIN, `${figure} is ${value.toFixed(4)}`);
    }
  });
}

test('both bundled networks have recorded figures', (t) => {
  t.deepEqual(Object.keys(EXPECTED), ['maskrcnn_demo', 'yolactplus_demo']);
});

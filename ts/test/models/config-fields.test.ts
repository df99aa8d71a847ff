/** Nothing of a configuration is ignored: whatever a caller can change in one changes what is computed. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  Device,
  detectron2Tensors,
  InstasegError,
  torchvisionTensors,
  yolactTensors,
  type SymbolicTensor,
} from '../../src/index.js';
import type { Job } from '../../src/models/network.js';
import { networkOf } from '../../src/models/registry.js';
import { loadParameters } from '../../src/nn/parameters.js';
import { currentRecording } from '../../src/runtime/graph.js';
import { bundledWeights } from '../../src/weights/bundled.js';
import {
  CONFIG_OPTIONS,
  overrideConfig,
  type ConfigOverrides,
  type ModelConfig,
} from '../../src/weights/families/config.js';
import { loadCheckpoint } from '../../src/weights/load.js';
import type { Detectron2File } from '../golden/case-files.js';
import { writeSeededModel } from '../golden/seeded-models.js';

const SECTIONS = Object.keys(CONFIG_OPTIONS).filter(
  (name) => !['model', 'classNames', 'batchNormEpsilon'].includes(name),
);
const WORDS = [
  'rgb',
  'bgr',
  '1x1',
  '3x3',
  'fast',
  'cross-class',
  'traditional',
  'original',
  'input',
  'prototype',
].concat([
  ...['torchvision', 'detectron2', 'first', 'last', 'floor', 'half-up', 'pillow', 'none', 'round-half-even'],
  ...['sigmoid', 'softmax', 'tanh', 'relu', 'bilinear'],
]);

/** Other values of the kind of a field's. */
function others(value: unknown): unknown[] {
  if (typeof value === 'boolean') return [!value];
  if (typeof value === 'string') return WORDS.filter((word) => word !== value);
  if (typeof value === 'number') return [value + 1, value / 2, value - 1, value + 0.125, 0.3];
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, i) => others(item).map((other) => value.with(i, other) as unknown[]));
  }
  return [];
}

function tensorsOf(config: ModelConfig): Map<string, number[]> {
  if (config.family === 'torchvision') return torchvisionTensors(config);
  return config.family === 'yolact' ? yolactTensors(config) : detectron2Tensors(config);
}

/** The weights that a configuration asks for, and all that is recorded of a forward pass on an image of this size. */
async function recorded(device: Device, config: ModelConfig, parameters: never, width: number): Promise<string> {
  const network = networkOf(config);
  const image = { data: new Uint8Array(width * 32 * 3), width, height: 32, channels: 3 } as const;
  const job: Job = { image, ...network.sizes(image, config) };
  const seen: unknown[] = [[...tensorsOf(config)], job.resized, job.padded, network.maskSize?.(config)];
  class Recorded extends Error {}
  const body = (sizes: SymbolicTensor, ...images: SymbolicTensor[]): never => {
    const { graph } = currentRecording();
    const node = graph.node.bind(graph);
    Object.defineProperty(graph, 'node', {
      value: (...args: Parameters<typeof node>) => {
        seen.push(args.slice(0, 3));
        return node(...args);
      },
    });
    const outputs = network.record({ sizes, images, features: 'f32' }, [job], parameters, config);
    seen.push(Object.entries(outputs).map(([name, tensor]) => [name, (tensor as SymbolicTensor).id]));
    throw new Recorded();
  };
  const specs = [
    { dtype: 'i32', shape: [1, 4] },
    { dtype: 'u8', shape: [-1, -1, 3] },
  ] as const;
  await device.compile(specs, body as never).catch((error: unknown) => {
    if (!(error instanceof Recorded)) throw error;
  });
  return JSON.stringify(seen);
}

async function everyFieldMatters(t: ExecutionContext, file: string | URL): Promise<void> {
  const device = await Device.open('cpu', { threads: 1 });
  await using checkpoint = await loadCheckpoint(file);
  const { config } = checkpoint;
  const parameters = await loadParameters(device, checkpoint);
  // One whose shorter side decides its size, and one whose longer side does.
  const both = async (wanted: ModelConfig): Promise<string> =>
    (await recorded(device, wanted, parameters as never, 48)) +
    (await recorded(device, wanted, parameters as never, 96));
  const base = await both(config);
  const ignored: string[] = [];
  const matters = async (name: string, candidates: readonly ConfigOverrides[]): Promise<void> => {
    let tried = 0;
    for (const overrides of candidates) {
      let changed: string;
      try {
        changed = await both(overrideConfig(config, overrides));
      } catch (error) {
        if (error instanceof InstasegError) continue; // a literal, or out of range
        throw error;
      }
      if (changed !== base) return;
      tried += 1;
    }
    if (tried > 0) ignored.push(name);
  };
  let fields = 0;
  for (const section of SECTIONS) {
    for (const [name, value] of Object.entries((config as never)[section] ?? {})) {
      fields += 1;
      const candidates = others(value).map((other) => ({ [section]: { [name]: other } }));
      await matters(`${section}.${name}`, candidates);
    }
  }
  await matters('batchNormEpsilon', [{ batchNormEpsilon: 0.5 }]);
  t.true(fields > 20);
  t.deepEqual(ignored, []);
  parameters.dispose();
  await device.dispose();
}

test('torchvision', (t) => everyFieldMatters(t, bundledWeights('maskrcnn_demo')));

test('yolact', (t) => everyFieldMatters(t, bundledWeights('yolactplus_demo')));

test('detectron2', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-fields-'));
  const file = path.join(folder, 'model.safetensors');
  const fixture = path.resolve(__dirname, '../../../ts/test/fixtures/detectron2/resnet/case.json');
  await writeSeededModel(file, JSON.parse(readFileSync(fixture, 'utf8')) as Detectron2File);
  await everyFieldMatters(t, file);
  rmSync(folder, { recursive: true });
});

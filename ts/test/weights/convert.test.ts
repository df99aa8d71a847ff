import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { convertCheckpoint, type ConvertProgress } from '../../src/weights/convert.js';
import { configToMetadata } from '../../src/weights/families/config.js';
import { torchvisionTensors } from '../../src/weights/families/torchvision.js';
import { yolactTensors } from '../../src/weights/families/yolact.js';
import { loadCheckpoint } from '../../src/weights/load.js';
import { type TensorSource, writeSafetensors } from '../../src/weights/safetensors.js';
import { seededWeights } from '../../src/weights/seeded.js';
import { legacyStateDict, stateDict } from './pickle-builder.js';
import {
  failsWith,
  floats,
  fixture,
  forgeZip,
  readAll,
  slimConfig,
  slimYolact,
  withFolder,
  yolactConfig,
} from './support.js';

const v1 = slimConfig('maskrcnn_resnet50_fpn');
const v2 = slimConfig('maskrcnn_resnet50_fpn_v2');

const counter: TensorSource = {
  name: 'backbone.body.bn1.num_batches_tracked',
  dtype: 'i64',
  shape: [],
  read: () => [Buffer.alloc(8)],
};

/** A safetensors file of float32 tensors whose data are never written. */
function writeHoles(file: string, tensors: readonly { name: string; shape: readonly number[] }[]): void {
  let end = 0;
  const entries = tensors.map(({ name, shape }) => {
    const start = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, header]));
  truncateSync(file, length.length + header.length + end);
}

/** Names as torchvision wrote them before 0.13. */
const oldName = (name: string): string =>
  name
    .replace(/(inner|layer)_blocks\.(\d)\.0\./, '$1_blocks.$2.')
    .replace('rpn.head.conv.0.0.', 'rpn.head.conv.')
    .replace(/mask_head\.(\d)\.0\./, (_, i) => `mask_head.mask_fcn${Number(i) + 1}.`);

test('weights without metadata are loaded under canonical names', async (t) => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'old.safetensors');
    const seeded = seededWeights(torchvisionTensors(v1), 5);
    await writeSafetensors(
      file,
      seeded.map((tensor) => ({ ...tensor, name: oldName(tensor.name) })),
    );
    const loaded = await loadCheckpoint(file);
    t.deepEqual(loaded.config, v1);
    t.deepEqual([...loaded.tensors.keys()].sort(), seeded.map(({ name }) => name).sort());
    for (const { name, shape, values } of seeded) {
      const tensor = loaded.tensors.get(name);
      t.deepEqual(tensor?.info, { name, dtype: 'f32', shape });
      t.deepEqual(await readAll(tensor?.read() ?? []), Buffer.from(values().buffer as ArrayBuffer));
    }
    await loaded.close();
    await failsWith(
      () => readAll(loaded.tensors.get('rpn.head.cls_logits.bias')?.read() ?? []),
      'ERR_DISPOSED',
      /closed/,
    );
  });
});

test('converting records the configuration and drops the counters', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out.safetensors')];
    const seeded = seededWeights(torchvisionTensors(v2), 5);
    await writeSafetensors(input, [...seeded, counter]);
    const progress: ConvertProgress[] = [];
    const result = await convertCheckpoint(input, output, {
      classNames: ['cup', 'saucer'],
      onProgress: (step) => progress.push(step),
    });
    t.is(result.tensors, seeded.length);
    t.is(result.bytes, readFileSync(output).length);
    t.deepEqual(result.config.classNames, ['background', 'cup', 'saucer']);
    t.deepEqual(result.config.batchNorm, { kind: 'batch', epsilon: 1e-5 });
    t.is(progress.length, seeded.length);
    t.like(progress.at(-1), { tensorsDone: seeded.length, tensorsTotal: seeded.length });
    t.is(progress.at(-1)?.bytesDone, progress[0]?.bytesTotal);

    const checkpoint = await openCheckpoint(output);
    t.deepEqual(checkpoint.metadata, { format: 'pt', ...configToMetadata(result.config) });
    t.false([...checkpoint.tensors.keys()].some((name) => name.includes('num_batches_tracked')));
    await checkpoint.close();
    const loaded = await loadCheckpoint(output);
    t.deepEqual(loaded.config, result.config);
    await loaded.close();
    // A second conversion changes nothing, and may replace its own input.
    const again = await convertCheckpoint(output, output);
    t.deepEqual(again, result);
  });
});

test('what was recorded outlives the counters, and overrides win over it', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    await writeSafetensors(input, [...seededWeights(torchvisionTensors(v1), 5), counter]);
    t.deepEqual((await convertCheckpoint(input, output)).config.batchNorm, { kind: 'batch', epsilon: 1e-5 });
    const loaded = await loadCheckpoint(output, { batchNormEpsilon: 1e-3, image: { minSize: 320 } });
    t.deepEqual(loaded.config.batchNorm, { kind: 'batch', epsilon: 1e-3 });
    t.like(loaded.config, { image: { minSize: 320 } });
    await loaded.close();
  });
});

test('element types are kept', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    const halves = [...torchvisionTensors(v1)].map(([name, shape]): TensorSource => {
      const count = shape.reduce((product, size) => product * size, 1);
      return { name, dtype: 'f16', shape, read: () => [Buffer.alloc(2 * count, 1)] };
    });
    await writeSafetensors(input, halves);
    await convertCheckpoint(input, output);
    const checkpoint = await openCheckpoint(output);
    t.true([...checkpoint.tensors.values()].every(({ dtype }) => dtype === 'f16'));
    await checkpoint.close();
  });
});

test('unknown families and incomplete weights are refused and leave no file', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    await writeSafetensors(input, [floats('proto_net.0.weight', [1], [1])]);
    await failsWith(
      () => convertCheckpoint(input, output),
      'ERR_WEIGHTS',
      /expected torchvision Mask R-CNN.* or YOLACT weights.*these look like YOLACT weights/,
    );
    await failsWith(
      () => convertCheckpoint(fixture('nested.pth'), output),
      'ERR_WEIGHTS',
      /nested\.pth: expected torchvision/,
    );
    const seeded = seededWeights(torchvisionTensors(v1), 5).filter(({ name }) => name !== 'backbone.body.bn1.bias');
    await writeSafetensors(input, seeded);
    await failsWith(
      () => convertCheckpoint(input, output),
      'ERR_WEIGHTS',
      /in: The weights do not fit.*\nmissing \(1\):\n {2}backbone\.body\.bn1\.bias$/,
    );
    await failsWith(() => loadCheckpoint(input, { classNames: ['one'] }), 'ERR_ARGUMENT', /^Expected 2 class names/);
    t.false(existsSync(output));
  });
});

const plus = slimYolact(true);

/** What published YOLACT files hold beside the weights that a forward pass needs. */
const unneeded = [
  { ...counter, name: 'backbone.bn1.num_batches_tracked' },
  floats('backbone.layer1.0.conv1.weight', [1], [1]),
  floats('fpn.downsample_layers.2.weight', [1], [1]),
  floats('semantic_seg_conv.weight', [1], [1]),
];

test('YOLACT weights are loaded and converted without what only training needs', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'weights.safetensors'), path.join(folder, 'out.safetensors')];
    const seeded = seededWeights(yolactTensors(plus), 5);
    await writeSafetensors(
      input,
      [...seeded, ...unneeded].map((tensor) => ({ ...tensor, name: `module.${tensor.name}` })),
    );
    const loaded = await loadCheckpoint(input);
    t.deepEqual(loaded.config, plus);
    t.deepEqual([...loaded.tensors.keys()].sort(), seeded.map(({ name }) => name).sort());
    for (const { name, shape, values } of seeded) {
      const tensor = loaded.tensors.get(name);
      t.deepEqual(tensor?.info, { name, dtype: 'f32', shape });
      t.deepEqual(await readAll(tensor?.read() ?? []), Buffer.from(values().buffer as ArrayBuffer));
    }
    await loaded.close();

    const result = await convertCheckpoint(input, output, {
      classNames: ['cup', 'saucer'],
      detect: { nms: 'cross-class' },
    });
    t.is(result.tensors, seeded.length);
    t.like(result.config, { family: 'yolact', classNames: ['background', 'cup', 'saucer'] });
    const again = await loadCheckpoint(output);
    t.deepEqual(again.config, result.config);
    await again.close();
    t.deepEqual(await convertCheckpoint(output, output), result);
    await failsWith(() => loadCheckpoint(output, { rpn: { minSize: 1 } }), 'ERR_ARGUMENT', /^Expected no "rpn"/);
  });
});

/** Canonical names and data of what a file is loaded as. */
async function loadedData(file: string): Promise<{ config: unknown; data: [string, Buffer][] }> {
  const loaded = await loadCheckpoint(file);
  const data: [string, Buffer][] = [];
  for (const name of [...loaded.tensors.keys()].sort()) {
    data.push([name, await readAll(loaded.tensors.get(name)?.read() ?? [])]);
  }
  await loaded.close();
  return { config: loaded.config, data };
}

for (const [family, tensors] of [
  ['torchvision', torchvisionTensors(v2)],
  ['yolact', yolactTensors(plus)],
] as const) {
  test(`${family}: zip, legacy and converted files are the same model bit for bit`, async (t) => {
    await withFolder(async (folder) => {
      const [zip, legacy, output] = ['zip.pth', 'legacy.pth', 'out.safetensors'].map((name) => path.join(folder, name));
      const parts = seededWeights(tensors, 5).map(({ name, shape, values }) => ({
        ...{ name, shape, bytes: Buffer.from(values().buffer as ArrayBuffer) },
      }));
      const storages = parts.map(({ bytes }, i) => ({ name: `a/data/${i}`, data: bytes }));
      writeFileSync(zip!, forgeZip([{ name: 'a/data.pkl', data: stateDict(parts) }, ...storages]));
      writeFileSync(legacy!, legacyStateDict(parts));
      const wanted = await loadedData(zip!);
      t.like(wanted.config, { family });
      t.deepEqual(
        wanted.data,
        parts.map(({ name, bytes }) => [name, bytes] as [string, Buffer]).sort(([a], [b]) => (a < b ? -1 : 1)),
      );
      t.deepEqual(await loadedData(legacy!), wanted);
      await convertCheckpoint(legacy!, output!);
      t.deepEqual(await loadedData(output!), wanted);
    });
  });
}

test('the SHA-256 is checked before converting', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    await writeSafetensors(input, seededWeights(torchvisionTensors(v1), 5));
    await failsWith(
      () => convertCheckpoint(input, output, { sha256: '00000000' }),
      'ERR_CHECKPOINT',
      /expected 00000000/,
    );
    t.false(existsSync(output));
  });
});

test('the name of a file tells yolact_im700 from yolact_base, and what it told is recorded', async (t) => {
  await withFolder(async (folder) => {
    const input = path.join(folder, 'yolact_im700_54_800000.safetensors');
    const output = path.join(folder, 'weights.safetensors');
    // Nothing is read but names and shapes: the bytes stay holes of the file.
    const tensors = [...yolactTensors(yolactConfig('yolact_base'))].map(([name, shape]) => ({ name, shape }));
    writeHoles(input, tensors);
    const loaded = await loadCheckpoint(input);
    t.like(loaded.config, { model: 'yolact_im700', image: { size: 700 } });
    await loaded.close();

    await writeSafetensors(
      output,
      seededWeights(yolactTensors(plus), 5),
      configToMetadata({ ...plus, model: 'yolact_im700' }),
    );
    const recorded = await loadCheckpoint(output);
    t.like(recorded.config, { model: 'yolact_im700', image: { size: 550 } });
    await recorded.close();
  });
});

test('incomplete YOLACT weights are refused with the file in front', async (t) => {
  await withFolder(async (folder) => {
    const input = path.join(folder, 'in');
    const seeded = seededWeights(yolactTensors(plus), 5);
    await writeSafetensors(
      input,
      seeded.filter(({ name }) => name !== 'proto_net.0.bias'),
    );
    await failsWith(
      () => loadCheckpoint(input),
      'ERR_WEIGHTS',
      /in: The weights do not fit.*\nmissing \(1\):\n {2}proto_net\.0\.bias$/,
    );
    await writeSafetensors(
      input,
      seeded.filter(({ name }) => !name.startsWith('backbone.')),
    );
    await failsWith(() => loadCheckpoint(input), 'ERR_UNSUPPORTED', /in: YOLACT weights are supported with backbones/);
    t.pass();
  });
});

test('an aborted conversion leaves no file', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    await writeSafetensors(input, seededWeights(torchvisionTensors(v1), 5));
    writeFileSync(output, 'older');
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = (): void => controller.abort(reason);
    const options = { signal: controller.signal, onProgress };
    t.is(await t.throwsAsync(convertCheckpoint(input, output, options)), reason);
    t.is(readFileSync(output, 'utf8'), 'older');
  });
});

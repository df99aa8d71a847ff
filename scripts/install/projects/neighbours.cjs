// sharp, onnxruntime-node and instaseg at work at the same time in one process: no symbol or thread of one may reach another.
const { dirname, join } = require('node:path');
const ort = require('onnxruntime-node');
const sharp = require('sharp');
const { load } = require('instaseg');

const scene = join(dirname(require.resolve('instaseg/package.json')), 'models/demo/scenes/scene-1.jpg');

/** Fields of a protocol buffer: [number, bytes or text or integer]. */
function message(...fields) {
  const parts = fields.map(([number, value]) => {
    if (typeof value === 'number') return Buffer.from([number << 3, value]);
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  });
  return Buffer.concat(parts);
}

/** An ONNX model that adds a vector of four floats to itself. */
function addition() {
  const vector = message([1, message([1, 1], [2, message([1, message([1, 4])])])]); // TypeProto of float[4]
  const value = (name) => message([1, name], [2, vector]);
  const node = message([1, 'x'], [1, 'x'], [2, 'y'], [4, 'Add']);
  const graph = message([1, node], [2, 'addition'], [11, value('x')], [12, value('y')]);
  return message([1, 8], [7, graph], [8, message([1, ''], [2, 13])]);
}

async function main() {
  const model = await load('yolactplus_demo', { device: 'cpu' });
  const session = await ort.InferenceSession.create(addition());
  const rounds = Array.from({ length: 10 }, async (_, i) => {
    const x = new ort.Tensor('float32', Float32Array.from([i, 1, 2, 3]), [4]);
    const [result, small, sum] = await Promise.all([
      model.segment(scene, { scoreThreshold: 0.5 }),
      sharp(scene).resize(64, 48).png().toBuffer(),
      session.run({ x }),
    ]);
    if (small.length === 0 || sum.y.data[0] !== 2 * i) throw new Error('wrong results');
    return JSON.stringify(result);
  });
  const different = new Set(await Promise.all(rounds));
  if (different.size !== 1) throw new Error('results differ');
  await model.dispose();
  console.log([...different][0]);
}

void main();

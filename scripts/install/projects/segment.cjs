// The same in CommonJS. Both forms of the package are one: classes are the same, and so is the addon.
const { dirname, join } = require('node:path');
const instaseg = require('instaseg');

const root = dirname(require.resolve('instaseg/package.json'));

async function main() {
  const esm = await import('instaseg');
  if (esm.InstasegError !== instaseg.InstasegError) throw new Error('two copies of the package');
  const model = await instaseg.load('yolactplus_demo', { device: 'cpu' });
  if (!(model instanceof esm.InstanceSegmenter)) throw new Error('two copies of the package');
  const result = await model.segment(join(root, 'models/demo/scenes/scene-1.jpg'), { scoreThreshold: 0.5 });
  await model.dispose();
  console.log(JSON.stringify(result));
}

void main();

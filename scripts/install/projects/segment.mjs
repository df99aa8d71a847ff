// An ES module in a project that has instaseg installed. Prints the objects of a scene as COCO results.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { load } from 'instaseg';

const root = dirname(createRequire(import.meta.url).resolve('instaseg/package.json'));
const model = await load('yolactplus_demo', { device: 'cpu' });
const result = await model.segment(join(root, 'models/demo/scenes/scene-1.jpg'), { scoreThreshold: 0.5 });
await model.dispose();
console.log(JSON.stringify(result));

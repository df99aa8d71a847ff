// Objects in a photograph: what they are, where, and their masks.
//
//     node examples/segment.mjs weights.safetensors photo.jpg
//
// `maskrcnn_demo` for the weights is a small network in the package; models/demo/scenes/ has pictures to try it with.
import { writeFile } from 'node:fs/promises';
import { InstasegError, load } from 'instaseg';

const [weights, image] = process.argv.slice(2);
if (!image) throw new Error('usage: node examples/segment.mjs <weights> <image>');

const model = await load(weights, { device: 'auto' });
console.log(`${model.config.model} on ${model.device}`);
try {
  const result = await model.segment(image, { scoreThreshold: 0.5 });
  for (const { label, score, box, area, mask } of result.instances) {
    const [x, y, width, height] = box.map(Math.round);
    const corners = mask.toPolygons({ simplify: 1 }).reduce((sum, [outer]) => sum + outer.length, 0);
    console.log(`${label} ${score.toFixed(2)} at ${x},${y} ${width}x${height}: ${area} pixels, ${corners} corners`);
  }
  await result.overlay().toFile('segmented.png');
  await writeFile('segmented.json', JSON.stringify(result)); // COCO results
  if (result.instances.length > 0) await writeFile('first.png', await result.instances[0].mask.cutout(image));
} catch (error) {
  if (!(error instanceof InstasegError)) throw error;
  console.error(`${error.code}: ${error.message}`); // ERR_IMAGE, ERR_FILE, ...
  process.exitCode = 1;
} finally {
  await model.dispose();
}

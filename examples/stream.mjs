// Many images with flat memory: a stream of paths (frames, buffers ...) in, results in order out.
//
//     node examples/stream.mjs weights.safetensors folder
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from 'instaseg';

const [weights, folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: node examples/stream.mjs <weights> <folder>');

async function* images() {
  for await (const { name } of await opendir(folder)) {
    if (/\.(jpe?g|png|webp)$/i.test(name)) yield join(folder, name);
  }
}

let stopped = false;
process.once('SIGINT', () => (stopped = true));

const model = await load(weights);
try {
  // Two images are read ahead of the one whose result is awaited, so decoding and inference overlap.
  for await (const result of model.stream(images(), { scoreThreshold: 0.5, maxInFlight: 2 })) {
    const labels = result.instances.map(({ label }) => label);
    console.log(`${result.imageId}: ${labels.join(', ') || 'nothing'}`);
    if (stopped) break; // leaving the loop ends the stream; an AbortSignal (`signal`) would stop the work under way too
  }
} finally {
  await model.dispose();
}

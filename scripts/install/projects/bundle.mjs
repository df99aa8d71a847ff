// What a bundle is made of: the entry for one platform, and weights and pictures by their paths.
import { InstasegError, load } from 'instaseg/linux-x64';

const [weights, scene] = process.argv.slice(2);

async function main() {
  const model = await load(weights, { device: 'cpu' });
  const result = await model.segment(scene, { scoreThreshold: 0.5 });
  await model.dispose();
  const error = await load('nowhere.safetensors').catch((reason) => reason);
  if (!(error instanceof InstasegError)) throw error;
  console.log(JSON.stringify(result));
}

void main();

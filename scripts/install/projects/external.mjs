// A bundle that leaves instaseg where it is installed.
import { load } from 'instaseg';

const [weights, scene] = process.argv.slice(2);

async function main() {
  const model = await load(weights, { device: 'cpu' });
  const result = await model.segment(scene, { scoreThreshold: 0.5 });
  await model.dispose();
  console.log(JSON.stringify(result));
}

void main();

// What every program of the rows computes: YOLACT++'s objects on a scene of the package. The clone says what they are; the
// installed package must say the same, bit for bit.
import { fileURLToPath } from 'node:url';
import { load } from '../../dist/src/index.mjs';

export const SCENE = 'models/demo/scenes/scene-1.jpg';

/** The results as JSON, as computed by the clone. */
export async function expectedResult() {
  const model = await load('yolactplus_demo', { device: 'cpu' });
  const scene = fileURLToPath(new URL(`../../${SCENE}`, import.meta.url));
  const json = JSON.stringify(await model.segment(scene, { scoreThreshold: 0.5 }));
  await model.dispose();
  if (JSON.parse(json).length < 3) throw new Error(`the scene must have several objects: ${json}`);
  return json;
}

/** Fails unless a program printed the results of the scene as its last line. */
export function requireExpected({ expected }, stdout) {
  const last = stdout.trimEnd().split('\n').at(-1);
  if (last !== expected) throw new Error(`other results than the clone's\nexpected ${expected}\nreceived ${stdout}`);
  return `${JSON.parse(expected).length} objects, as in the clone`;
}

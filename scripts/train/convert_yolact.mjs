// What export_yolact.py wrote as a safetensors file that says what it is:
//
//     node convert_yolact.mjs IN.pth OUT.safetensors      (IN.json is beside IN.pth)
import { readFile } from 'node:fs/promises';
import { convertCheckpoint } from '../../dist/src/index.js';

const [input, output] = process.argv.slice(2);
if (output === undefined) throw new Error('usage: node convert_yolact.mjs IN.pth OUT.safetensors');
const overrides = JSON.parse(await readFile(input.replace(/\.\w+$/, '.json'), 'utf8'));
const { config, tensors, bytes } = await convertCheckpoint(input, output, overrides);
console.log(`${output}: ${config.model}, ${config.numClasses - 1} classes, ${tensors} tensors, ${bytes} bytes`);

// The readers under test, in a thread that may be ended: answers each message with what became of a file.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { runInNewContext } from 'node:vm';
import { parentPort } from 'node:worker_threads';

const require = createRequire(import.meta.url);
const { openCheckpoint } = require('../../dist/src/weights/checkpoint.js');
const { decodeImage } = require('../../dist/src/image/decode.js');
const { InstasegError } = require('../../dist/src/runtime/errors.js');

/** Data of one case that are read: a damaged shape may stand for terabytes, which are streamed. */
const READ_BYTES = 32_000_000;

const TARGETS = {
  checkpoint: {
    allowed: /^ERR_CHECKPOINT(_UNSAFE)?$/,
    async read(file) {
      const checkpoint = await openCheckpoint(file);
      try {
        let total = 0;
        for (const name of checkpoint.tensors.keys()) {
          for await (const chunk of checkpoint.read(name)) {
            total += chunk.length;
            if (total > READ_BYTES) break;
          }
        }
        await checkpoint.verify();
      } finally {
        await checkpoint.close();
      }
    },
  },
  image: { allowed: /^ERR_IMAGE$/, read: (file) => decodeImage(readFileSync(file)) },
  raw: { allowed: /^ERR_(IMAGE|ARGUMENT)$/, read: (file) => decodeImage(rawPicture(JSON.parse(readFileSync(file)))) },
};

/** What `makeRawPicture` has described. */
function rawPicture({ array, length, value, ...fields }) {
  const image = { data: arrayOf(array, length, value) };
  for (const [name, text] of Object.entries(fields)) image[name] = runInNewContext(`(${text})`);
  return image;
}

function arrayOf(array, length, value) {
  if (array === 'Buffer') return Buffer.alloc(length + 3).subarray(3);
  if (array === 'SharedUint8Array') return new Uint8Array(new SharedArrayBuffer(length));
  if (array === 'DataView') return new DataView(new ArrayBuffer(length));
  if (array === 'Array') return Array(length).fill(0);
  return new globalThis[array](length).fill(array === 'BigInt64Array' ? 0n : Number(value));
}

parentPort.on('message', async ({ target, file }) => {
  const { allowed, read } = TARGETS[target];
  try {
    await read(file);
    parentPort.postMessage({ result: 'read' });
  } catch (error) {
    const typed = error instanceof InstasegError && allowed.test(error.code);
    parentPort.postMessage({
      result: typed ? error.code : 'failed',
      problem: typed ? error.message : String(error?.stack ?? error),
    });
  }
});

parentPort.postMessage('ready');

/** The weights that ship with the package: small networks for drawn scenes, which the demo and the tests run. */
import { join } from 'node:path';

/** From dist/src/weights. */
const FOLDER = join(__dirname, '..', '..', '..', 'models', 'demo');

/** Their names. */
export const BUNDLED: readonly string[] = ['maskrcnn_demo', 'yolactplus_demo'];

/**
 * The file of a bundled model where `source` is the name of one, and otherwise `source`. Such a name is never looked up
 * as a file, wherever the program runs; a file of that name is `./maskrcnn_demo`.
 */
export function bundledWeights(source: string | URL): string | URL {
  return typeof source === 'string' && BUNDLED.includes(source) ? join(FOLDER, `${source}.safetensors`) : source;
}

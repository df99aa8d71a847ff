import { existsSync } from 'node:fs';
import { InstasegError } from '../../runtime/errors.js';
import { BUNDLED, bundledWeights } from '../bundled.js';
import { findZooModel, zooNames } from './find.js';
import { pullModel, type PullOptions } from './pull.js';

/**
 * The checkpoint file that somebody names: by the name of a model in the package or of a published one, which is
 * downloaded where the cache does not have it, or by its path. A name of the zoo is never looked up as a file, wherever the program runs; such a file is
 * `./maskrcnn_resnet50_fpn`. Rejects as `pullWeights` does, and with ERR_FILE for a word that is neither.
 */
export async function resolveWeights(source: string | URL, options: PullOptions = {}): Promise<string | URL> {
  if (typeof source !== 'string') return source;
  const bundled = bundledWeights(source);
  if (bundled !== source) return bundled;
  const model = findZooModel(source);
  if (model) return (await pullModel(model, options, { check: false })).path;
  if (/^[\w-]+$/.test(source) && !existsSync(source)) {
    throw new InstasegError(
      'ERR_FILE',
      `${source}: no such file, and no model has this name. There are ${[...BUNDLED, zooNames()].join(', ')}`,
    );
  }
  return source;
}

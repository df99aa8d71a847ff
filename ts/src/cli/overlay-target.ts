/** Where the drawings of --overlay go. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, extname, join, parse, resolve } from 'node:path';
import { CommandFailure, EXIT, usageError } from './exit.js';
import { InstasegError } from '../index.js';

const IMAGE_FILE = /\.(png|jpe?g|webp)$/i;

/**
 * The file of each image's drawing. The value is a file for one image, and otherwise a folder, created where it is
 * missing, that gets one PNG an image under the image's name. Refuses to write two drawings, or a drawing and an image,
 * to one file.
 */
export function overlayTargets(value: string, images: readonly string[]): Map<string, string> {
  const isFolder = existsSync(value) ? statSync(value).isDirectory() : /[/\\]$/.test(value) || extname(value) === '';
  if (!isFolder && images.length > 1) {
    throw usageError(`--overlay has to be a folder for ${images.length} images, received ${value}`);
  }
  if (!isFolder && !IMAGE_FILE.test(value)) {
    throw usageError(`--overlay has to end in .png, .jpg, .jpeg or .webp, or with / for a folder; received ${value}`);
  }
  const targets = new Map(images.map((image) => [image, isFolder ? join(value, `${parse(image).name}.png`) : value]));
  const owners = new Map(images.map((image) => [resolve(image), `the image ${image}`]));
  for (const [image, target] of targets) {
    const owner = owners.get(resolve(target));
    if (owner !== undefined) {
      throw usageError(
        `--overlay would write ${target} for ${image}, which is ${owner}; choose another folder or name`,
      );
    }
    owners.set(resolve(target), `the drawing of ${image}`);
  }
  makeFolder(isFolder ? value : dirname(value));
  return targets;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    const message = `${path}: cannot be created (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`;
    throw new CommandFailure(EXIT.failed, new InstasegError('ERR_FILE', message, { cause }));
  }
}

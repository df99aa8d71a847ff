/** Where downloaded checkpoints are kept: `<cache>/<model>/<published file name>`. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { invalid } from '../../runtime/validate.js';
import type { ZooModel } from './manifest.js';

/**
 * The folder of downloaded checkpoints: the one given, else `INSTASEG_CACHE`, else `instaseg` where the system keeps
 * caches: `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on Windows `%LOCALAPPDATA%`.
 */
export function cacheDirectory(given?: string): string {
  if (given !== undefined && (typeof given !== 'string' || given === '')) {
    throw invalid('cacheDir', 'the path of a folder', given);
  }
  const chosen = given ?? process.env['INSTASEG_CACHE'];
  if (chosen) return resolve(chosen);
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  if (process.platform === 'win32' && local) return join(local, 'instaseg');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'instaseg');
  // By the XDG base directory specification a relative path is invalid and to be ignored.
  return join(xdg?.startsWith('/') ? xdg : join(homedir(), '.cache'), 'instaseg');
}

/** Under the published name, since the readers take hints from it (`yolact_im700_...`). */
export const cachedFile = (directory: string, model: ZooModel): string =>
  join(directory, model.name, publishedName(model));

export const publishedName = ({ url }: ZooModel): string => url.slice(url.lastIndexOf('/') + 1);

/** Published checkpoints: from the cache, or from where they are published. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InstasegError } from '../../runtime/errors.js';
import {
  abortSignal,
  callback,
  flag,
  optional,
  readOptions,
  text,
  unchecked,
  type OptionChecks,
} from '../../runtime/options.js';
import { invalid, requireInteger, requireSignal } from '../../runtime/validate.js';
import { isErrno } from '../source-file.js';
import { cachedFile, cacheDirectory, publishedName } from './cache.js';
import { download } from './download.js';
import { requireZooModel } from './find.js';
import { lock } from './lock.js';
import type { ZooModel } from './manifest.js';
import { verifyFile } from './verify.js';

/** How far {@link pullWeights} is. */
export interface PullProgress {
  /** Name of the model. */
  readonly model: string;
  /** `waiting` for another process that downloads the same file. */
  readonly phase: 'waiting' | 'downloading' | 'verifying';
  readonly bytesDone: number;
  /** Where it is known. */
  readonly bytesTotal: number | undefined;
}

/** Where published checkpoints come from. */
export interface ZooOptions {
  /** Folder of downloaded files; by default `INSTASEG_CACHE`, else where the system keeps caches. */
  readonly cacheDir?: string | undefined;
  /** Never touches the network: what is not in the cache is ERR_DOWNLOAD. By default so where `INSTASEG_OFFLINE` is 1. */
  readonly offline?: boolean | undefined;
  /**
   * Address of a copy of a cache folder, `<mirror>/<model>/<file>`, to download from instead; by default
   * `INSTASEG_MIRROR`. Checksums hold for it too.
   */
  readonly mirror?: string | undefined;
}

/** Where a name leads to a published checkpoint. */
export interface DownloadOptions extends ZooOptions {
  /** Called while the weights are downloaded, which a model's name does where the cache does not have them. */
  readonly onDownload?: ((progress: PullProgress) => void) | undefined;
}

/** Options of {@link pullWeights}. */
export interface PullOptions extends ZooOptions {
  /**
   * Milliseconds: longest wait for a connection, for the answer to begin, and for more of it; by default 30 000. Less
   * than a byte a millisecond over that time counts as nothing.
   */
  readonly timeout?: number | undefined;
  /** Attempts that may fail in a row, without a megabyte of progress, before it is given up; by default 5. */
  readonly retries?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as the work goes on. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

/** What {@link pullWeights} found or fetched. */
export interface PulledWeights {
  readonly model: ZooModel;
  /** The checkpoint file, in the cache. */
  readonly path: string;
  /** Whether it was downloaded just now. */
  readonly downloaded: boolean;
}

/** Checks of {@link ZooOptions}; folder and address are checked where they are used. */
const ZOO_OPTIONS = {
  cacheDir: unchecked,
  offline: optional(flag),
  mirror: optional(text),
} satisfies OptionChecks<ZooOptions>;

export const DOWNLOAD_OPTIONS = {
  ...ZOO_OPTIONS,
  onDownload: optional(callback<[PullProgress]>),
} satisfies OptionChecks<DownloadOptions>;

const OPTIONS = {
  ...ZOO_OPTIONS,
  timeout: unchecked,
  retries: unchecked,
  signal: abortSignal,
  onProgress: optional(callback<[PullProgress]>),
} satisfies OptionChecks<PullOptions>;

/** For tests. */
export interface PullTimes {
  readonly retryDelay?: number;
  readonly lockStale?: number;
}

/**
 * Gives the file of a published model, and downloads it where the cache does not have it; a file that is there is checked
 * and replaced if it is damaged. Interrupted downloads go on where they ended; of several processes one downloads, the
 * others wait for it; the file appears under its name only when it is whole and its checksum right. Proxies are those of
 * the environment (`https_proxy`, `no_proxy` ...).
 *
 *     const { path } = await pullWeights('maskrcnn_resnet50_fpn');
 *
 * @throws InstasegError ERR_ARGUMENT (no such model), ERR_DOWNLOAD (network, server, offline), ERR_CHECKPOINT (what came is
 *   another file), ERR_FILE (the cache cannot be written); or the signal's reason
 */
export async function pullWeights(name: string, options: PullOptions = {}): Promise<PulledWeights> {
  readOptions('pullWeights', options, OPTIONS);
  return pullModel(requireZooModel(name), options, { check: true });
}

/** As `pullWeights`; without `check` a file of the cache is trusted if its size is right. */
export async function pullModel(
  model: ZooModel,
  options: PullOptions,
  { check, ...times }: PullTimes & { readonly check: boolean },
): Promise<PulledWeights> {
  const settings = settingsOf(model, options);
  const { path, signal } = settings;
  settings.signal?.throwIfAborted();
  const problem = await problemOfCached(model, path, check, signal);
  if (problem === undefined) return { model, path, downloaded: false };
  if (settings.offline) throw offlineError(model, path, problem);
  try {
    await mkdir(dirname(path), { recursive: true });
    return { model, path, downloaded: await downloadLocked(model, settings, check, times) };
  } catch (error) {
    throw isErrno(error) ? cacheError(model, path, error) : error;
  }
}

interface Settings {
  readonly path: string;
  readonly url: string;
  readonly offline: boolean;
  readonly timeout: number;
  readonly retries: number;
  readonly signal: AbortSignal | undefined;
  readonly report: (phase: PullProgress['phase'], bytesDone: number, bytesTotal: number | undefined) => void;
}

function settingsOf(model: ZooModel, options: PullOptions): Settings {
  const { INSTASEG_OFFLINE: offline = '', INSTASEG_MIRROR: mirror = '' } = process.env;
  return {
    path: cachedFile(cacheDirectory(options.cacheDir), model),
    url: addressOf(model, options.mirror ?? mirror),
    offline: optional(flag)('offline', options.offline) ?? !['', '0', 'false'].includes(offline),
    timeout: requireInteger('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1),
    retries: requireInteger('retries', options.retries ?? 5, 0),
    signal: requireSignal(options.signal),
    report: (phase, bytesDone, bytesTotal) =>
      options.onProgress?.({ model: model.name, phase, bytesDone, bytesTotal: bytesTotal ?? model.bytes }),
  };
}

function addressOf(model: ZooModel, mirror: string): string {
  if (mirror === '') return model.url;
  if (!/^https?:\/\//i.test(mirror) || !URL.canParse(mirror)) throw invalid('mirror', 'an http(s) address', mirror);
  return `${mirror.replace(/\/+$/, '')}/${model.name}/${publishedName(model)}`;
}

/** Why the cache's file cannot be used; undefined for one that can. */
async function problemOfCached(
  model: ZooModel,
  path: string,
  check: boolean,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return 'is not in the cache';
  if (model.bytes !== undefined && found.size !== model.bytes) {
    return `is damaged in the cache (${found.size} bytes, expected ${model.bytes})`;
  }
  if (!check) return undefined;
  try {
    await verifyFile(path, model, { signal });
    return undefined;
  } catch (error) {
    if (error instanceof InstasegError && error.code === 'ERR_CHECKPOINT') return 'is damaged in the cache';
    throw error;
  }
}

/** Downloads under the lock, or waits for the process that does. False if that one did it. */
async function downloadLocked(model: ZooModel, settings: Settings, check: boolean, times: PullTimes): Promise<boolean> {
  const { path, url, timeout, retries, signal, report } = settings;
  const { retryDelay = 500, lockStale: stale } = times;
  for (;;) {
    const held = await lock(`${path}.lock`, {
      stale,
      signal,
      onWait: () => report('waiting', 0, undefined),
    });
    try {
      if ((await problemOfCached(model, path, check, signal)) === undefined) return false;
      await download({
        url,
        target: path,
        expected: model,
        timeout,
        retries,
        retryDelay,
        signal: signal ? AbortSignal.any([signal, held.lost]) : held.lost,
        onProgress: report,
      });
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      if (!held.lost.aborted) throw error;
      // Another process took over, because this one stood still for long: wait for it.
    } finally {
      await held.release();
    }
  }
}

const byHand = (model: ZooModel): string => `Download ${model.url} by other means and pass the file`;

function offlineError(model: ZooModel, path: string, problem: string): InstasegError {
  return new InstasegError(
    'ERR_DOWNLOAD',
    `${model.name} ${problem} (${path}), and downloads are switched off (offline, INSTASEG_OFFLINE). ` +
      `"instaseg pull ${model.name}" with a network fetches it. ${byHand(model)}`,
  );
}

function cacheError(model: ZooModel, path: string, error: NodeJS.ErrnoException): InstasegError {
  const full = error.code === 'ENOSPC' || error.code === 'EDQUOT';
  const problem = full ? `there is no room for ${model.megabytes} MB` : `cannot be written (${error.code})`;
  return new InstasegError(
    'ERR_FILE',
    `${dirname(path)}: ${problem}. Choose another folder with cacheDir or INSTASEG_CACHE. ${byHand(model)}`,
    { cause: error },
  );
}

/** Checks of the options of `load`. */
import { DEVICE_OPTIONS } from '../runtime/device-options.js';
import type { DeviceOptions } from '../runtime/device.js';
import { oneOf, optional, readOptions, unchecked, type OptionChecks } from '../runtime/options.js';
import { OPEN_OPTIONS } from '../weights/checkpoint.js';
import { CONFIG_OPTIONS } from '../weights/families/config.js';
import { DOWNLOAD_OPTIONS } from '../weights/zoo/pull.js';
import type { LoadOptions } from './load.js';
import { PRECISIONS, SEGMENTER_OPTIONS } from './options.js';

const OPTIONS = {
  ...DEVICE_OPTIONS,
  ...SEGMENTER_OPTIONS,
  ...CONFIG_OPTIONS,
  ...DOWNLOAD_OPTIONS,
  ...OPEN_OPTIONS,
  device: unchecked, // by Device.open, unless it is one
  precision: optional(oneOf(...PRECISIONS)),
} satisfies OptionChecks<LoadOptions>;

/** Options of `load`, of which each is one that there is and fits by itself. */
export function requireLoadOptions(options: LoadOptions): LoadOptions {
  readOptions('load', options, OPTIONS);
  return options;
}

/** What of them the device is opened with. */
export function deviceOptions({ threads, isa, variant, memoryLimit }: LoadOptions): DeviceOptions {
  return { threads, isa, variant, memoryLimit };
}

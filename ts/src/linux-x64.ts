/**
 * `instaseg/linux-x64`: the whole of `instaseg`, for bundles that run on Linux with glibc on x86-64. Bundlers see which .node
 * file belongs to it, where `instaseg` itself looks for one when it runs. The addon is loaded on first use here too.
 */
import { provideAddon } from './runtime/addon.js';

provideAddon({
  path: 'prebuilds/linux-x64/instaseg.glibc.node, as instaseg/linux-x64 requires it',
  // From dist/src.
  require: () => require('../../prebuilds/linux-x64/instaseg.glibc.node') as unknown,
});

export * from './index.js';

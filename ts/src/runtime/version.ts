/** Where package.json, the one place of the version, meets the code. */

// A literal require, from dist/src/runtime: bundlers put the file's content in its place.
const manifest = require('../../../package.json') as { readonly version: string };

/** The package's version. */
export const version: string = manifest.version;

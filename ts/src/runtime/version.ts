/** The package's version; package.json is the one place where it stands. */

// A literal require, from dist/src/runtime: bundlers put the file's content in its place.
export const { version } = require('../../../package.json') as { readonly version: string };

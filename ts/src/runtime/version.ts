/** The package's version; package.json is the one place where it stands. */

// A literal require, from dist/src/runtime: bundlers put the file's content in its place.
// eslint-disable-next-line @typescript-eslint/no-require-imports
export const { version } = require('../../../package.json') as { readonly version: string };

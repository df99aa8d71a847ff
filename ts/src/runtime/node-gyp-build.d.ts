declare module 'node-gyp-build' {
  /** Loads the package's .node from build/Release or prebuilds/. */
  function load(packageRoot: string): unknown;
  export = load;
}

declare module 'node-gyp-build' {
  const nodeGypBuild: {
    /** The path of the package's .node in build/Release or prebuilds/. Throws where there is none. */
    resolve(packageRoot: string): string;
  };
  export = nodeGypBuild;
}

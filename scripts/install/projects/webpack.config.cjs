// The addon goes beside the bundle; sharp has libraries of its own and stays installed.
module.exports = {
  mode: 'production',
  target: 'node',
  entry: './bundle.mjs',
  output: { path: `${__dirname}/out`, filename: 'bundle.cjs' },
  externals: { sharp: 'commonjs sharp' },
  module: { rules: [{ test: /\.node$/, loader: 'node-loader' }] },
};

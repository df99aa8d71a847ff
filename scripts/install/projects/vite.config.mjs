// A server bundle, as vite makes one by default: packages stay where they are installed.
export default { build: { ssr: 'external.mjs', outDir: 'out' } };

// Workers, processes that end early, and other addons in the process.
import { requireExpected } from '../scene.mjs';
import { offlineProject, requireBase } from './install.mjs';
import { runInBase, source } from './modules.mjs';

const STAGES = ['required', 'device open', 'loading', 'loaded', 'running', 'segmented', 'disposing', 'disposed'];

export const processRows = [
  {
    name: 'eight workers at once, ended in mid-run',
    quick: true,
    async run(context) {
      const { stdout } = await runInBase(context, 'workers.cjs');
      return `${requireExpected(context, stdout)}; 32 workers terminated`;
    },
  },
  {
    name: 'a child that ends at each stage of its life',
    quick: true,
    async run(context) {
      requireBase(context);
      for (const stage of STAGES) {
        for (const [how, expected] of [
          ['exit', 7],
          ['throw', 1],
          ['sigterm', 'SIGTERM'],
          ['return', 7],
        ]) {
          const { code, signal } = await runInBase(context, 'stage.cjs', [stage, how], { code: null });
          if ((code ?? signal) !== expected)
            throw new Error(`${how} when ${stage}: ${code ?? signal}, not ${expected}`);
        }
      }
      return `${STAGES.length} stages: exit, uncaught error, SIGTERM, return`;
    },
  },
  {
    name: 'with sharp and onnxruntime-node in one process',
    async run(context) {
      const folder = await offlineProject(context, 'neighbours', { 'neighbours.cjs': source('neighbours.cjs') });
      // Its install script would download what this row does not need.
      await context.sandbox.npm(['install', '--ignore-scripts', 'onnxruntime-node@1'], { cwd: folder });
      const { stdout } = await context.sandbox.node(['neighbours.cjs'], { cwd: folder });
      return requireExpected(context, stdout);
    },
  },
];

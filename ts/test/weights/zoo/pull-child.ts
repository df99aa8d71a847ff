/** Pulls a model in a process of its own: `node pull-child.js '[model, options, times]'`; prints what came of it. */
import type { PullOptions, ZooModel } from '../../../src/index.js';
import { pullModel, type PullTimes } from '../../../src/weights/zoo/pull.js';

const [model, options, times] = JSON.parse(process.argv[2]!) as [ZooModel, PullOptions, PullTimes];
const phases = new Set<string>();
pullModel(
  model,
  { ...options, onProgress: ({ phase }) => phases.add(phase) },
  { check: true, retryDelay: 5, ...times },
).then(
  ({ downloaded }) => console.log(JSON.stringify({ downloaded, phases: [...phases] })),
  (error: Error & { code?: string }) => console.log(JSON.stringify({ code: error.code, message: error.message })),
);

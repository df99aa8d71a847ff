/** A profile in the trace event format, which chrome://tracing and Perfetto show. */
import { KERNEL_STAGES, STAGE_NAMES, STAGES, type ModelRow, type Stage } from './model-bench.js';

/** A complete event: times in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: 'X' | 'M';
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, unknown>>;
}

const STAGE_TRACK = 1;
const KERNEL_TRACK = 2;

const named = (tid: number, name: string): TraceEvent => ({
  name: 'thread_name',
  cat: '__metadata',
  ph: 'M',
  ts: 0,
  dur: 0,
  pid: 1,
  tid,
  args: { name },
});

/**
 * Stages on one track, the plan's steps on another, from the means of the table: laid end to end, as they ran one after
 * the other. Stages of kernels alternate as their steps do.
 */
export function chromeTrace(row: ModelRow): { displayTimeUnit: 'ms'; traceEvents: TraceEvent[] } {
  const traceEvents = [named(STAGE_TRACK, 'stages'), named(KERNEL_TRACK, 'kernels')];
  let at = 0;
  const addStage = (stage: Stage, ts: number, dur: number): void => {
    traceEvents.push({ name: STAGE_NAMES[stage], cat: 'stage', ph: 'X', ts, dur, pid: 1, tid: STAGE_TRACK, args: {} });
  };
  const addKernels = (): void => {
    let [begin, stage] = [at, row.layers[0]?.stage];
    for (const { layer, op, milliseconds, ...args } of row.layers) {
      if (args.stage !== stage) {
        addStage(stage!, begin, at - begin);
        [begin, stage] = [at, args.stage];
      }
      const name = layer === null ? op : `${op} ${layer}`;
      const dur = milliseconds * 1000;
      traceEvents.push({ name, cat: op, ph: 'X', ts: at, dur, pid: 1, tid: KERNEL_TRACK, args });
      at += dur;
    }
    if (stage) addStage(stage, begin, at - begin);
  };
  for (const stage of STAGES) {
    if (stage === KERNEL_STAGES[0]) addKernels();
    if ((KERNEL_STAGES as readonly Stage[]).includes(stage)) continue;
    const dur = row.stages[stage] * 1000;
    addStage(stage, at, dur);
    at += dur;
  }
  return { displayTimeUnit: 'ms', traceEvents };
}

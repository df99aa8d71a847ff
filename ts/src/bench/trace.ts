/** A profile in the trace event format, which chrome://tracing and Perfetto show. */
import { STAGE_NAMES, STAGES, type ModelRow } from './model-bench.js';

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

/** Stages on one track, the plan's steps on another, from medians: laid end to end, as they ran one after the other. */
export function chromeTrace(row: ModelRow): { displayTimeUnit: 'ms'; traceEvents: TraceEvent[] } {
  const traceEvents = [named(STAGE_TRACK, 'stages'), named(KERNEL_TRACK, 'kernels')];
  let at = 0;
  for (const stage of STAGES) {
    const dur = row.stages[stage] * 1000;
    traceEvents.push({
      name: STAGE_NAMES[stage],
      cat: 'stage',
      ph: 'X',
      ts: at,
      dur,
      pid: 1,
      tid: STAGE_TRACK,
      args: {},
    });
    if (stage === 'kernels') {
      let begin = at;
      for (const { layer, op, milliseconds, ...args } of row.layers) {
        const name = layer === null ? op : `${op} ${layer}`;
        const length = milliseconds * 1000;
        traceEvents.push({ name, cat: op, ph: 'X', ts: begin, dur: length, pid: 1, tid: KERNEL_TRACK, args });
        begin += length;
      }
    }
    at += dur;
  }
  return { displayTimeUnit: 'ms', traceEvents };
}

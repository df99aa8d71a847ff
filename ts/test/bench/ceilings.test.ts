/** Sizes of buffers, drift, and what percentages refer to. How quick the machine is, is no matter of tests. */
import test from 'ava';
import { Device } from '../../src/index.js';
import { bufferSizes, drift, isSteady } from '../../src/bench/ceilings.js';
import { machineInfo } from '../../src/bench/machine.js';
import { underRoofline } from '../../src/bench/roofline.js';

const MIB = 1 << 20;

test('cold calls flush twice the last cache, a copy is of four times its size, however large it is', async (t) => {
  const device = await Device.open('cpu');
  const of = (lastLevelCache: number | null, memory: number) =>
    bufferSizes(device, { ...machineInfo(), lastLevelCache, memory });
  t.deepEqual(of(32 * MIB, 2 ** 36), { copyBytes: 128 * MIB, flushBytes: 64 * MIB });
  const large = 2 ** 30;
  t.deepEqual(of(large, 2 ** 40), { copyBytes: 4 * large, flushBytes: 2 * large });
  t.deepEqual(of(MIB, 2 ** 40), { copyBytes: 64 * MIB, flushBytes: 2 * MIB }, 'timing needs some length');
  t.deepEqual(of(null, 2 ** 40), { copyBytes: 256 * MIB, flushBytes: 128 * MIB });
  t.deepEqual(of(large, 2 ** 33), { copyBytes: large, flushBytes: large }, 'memory is the limit');
  await device.dispose();
});

test('a machine is steady when neither ceiling moves by more than 5 %', (t) => {
  const of = (gflops: number, gbps: number) => ({ start: { gflops: 100, gbps: 10 }, end: { gflops, gbps } });
  t.true(isSteady(of(96, 10.4)));
  t.false(isSteady(of(94, 10)));
  t.false(isSteady(of(100, 11)));
  t.is(drift(of(50, 10)).gflops, -0.5);
});

test('percents of both ceilings, and the one that is lower', (t) => {
  const ceilings = { gflops: 100, gbps: 10 };
  const work = { flops: 5e7, bytes: 1e6, milliseconds: 1, precision: 'f32' as const };
  // 50 GFLOP/s and 1 GB/s; the arithmetic takes 0.5 ms at best, the bytes 0.1 ms.
  t.deepEqual(underRoofline(work, ceilings), { percentOfArithmetic: 50, percentOfBandwidth: 10, bound: 'compute' });
  t.is(underRoofline({ ...work, bytes: 1e7 }, ceilings).bound, 'memory');
  t.is(underRoofline({ ...work, precision: 'bf16' }, ceilings).percentOfArithmetic, null);
  t.is(underRoofline({ ...work, flops: 0 }, ceilings).percentOfArithmetic, null);
  const counted = underRoofline({ ...work, counted: true }, ceilings);
  t.deepEqual([counted.percentOfArithmetic, counted.percentOfBandwidth], [null, null]);
});

import test from 'ava';
import { machineInfo, parseGpuState, provenance } from '../../src/bench/machine.js';

test('clocks of a GPU as nvidia-smi prints them; idling is no throttling', (t) => {
  const fields = ['NVIDIA H200', 'GPU-1', '580.65.06', '1980', '3201', '41'];
  t.deepEqual(parseGpuState([...fields, '0x0000000000000001']), {
    name: 'NVIDIA H200',
    uuid: 'GPU-1',
    driver: '580.65.06',
    smClock: 1980,
    memoryClock: 3201,
    temperature: 41,
    throttled: '',
  });
  // 0x4: the power cap.
  t.is(parseGpuState([...fields, '0x0000000000000005']).throttled, '0x4');
});

test('a report says where and when', async (t) => {
  const machine = machineInfo();
  t.true(machine.logicalCores > 0 && machine.memory > 0 && machine.loadAverage >= 0);
  t.true(machine.lastLevelCache === null || machine.lastLevelCache > 0);
  const { date, version, commit, built, warnings } = await provenance();
  t.true(Math.abs(Date.parse(date) - Date.now()) < 60_000);
  t.regex(version, /^\d+\.\d+\.\d+/);
  t.true(commit === null || /^[0-9a-f]{7,}(-dirty)?$|^v\d/.test(commit), String(commit));
  // In a clone; what was built is known, or why it is not.
  t.truthy(built);
  t.true(commit !== null || warnings.length > 0);
});

import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { InstasegError } from '../../src/index.js';
import { Gate } from '../../src/runtime/gate.js';

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

test('at most so many pass at once, in the order of the calls', async (t) => {
  const gate = new Gate(2, 10);
  const holds = Array.from({ length: 5 }, deferred);
  const order: number[] = [];
  let inside = 0;
  let most = 0;
  const all = holds.map(({ promise }, i) =>
    gate.pass(async () => {
      order.push(i);
      most = Math.max(most, (inside += 1));
      await promise;
      inside -= 1;
    }),
  );
  for (const { resolve } of holds) resolve();
  await Promise.all(all);
  t.deepEqual(order, [0, 1, 2, 3, 4]);
  t.is(most, 2);
});

test('a full queue refuses with ERR_OVERLOADED and recovers', async (t) => {
  const gate = new Gate(1, 1);
  const hold = deferred();
  const first = gate.pass(() => hold.promise);
  const second = gate.pass(() => Promise.resolve('second'));
  const error = await t.throwsAsync(
    gate.pass(() => Promise.resolve()),
    { instanceOf: InstasegError },
  );
  t.is(error.code, 'ERR_OVERLOADED');
  hold.resolve();
  await first;
  t.is(await second, 'second');
  t.is(await gate.pass(() => Promise.resolve('third')), 'third');
});

test('an abort takes a waiting call out of the queue', async (t) => {
  const gate = new Gate(1, 2);
  const hold = deferred();
  const first = gate.pass(() => hold.promise);
  const controller = new AbortController();
  let ran = false;
  const waiting = gate.pass(() => Promise.resolve((ran = true)), controller.signal);
  const reason = new Error('changed my mind');
  controller.abort(reason);
  t.is(await t.throwsAsync(waiting), reason);
  hold.resolve();
  await first;
  t.false(ran);
  t.is(await gate.pass(() => Promise.resolve(1)), 1);
});

test('a failing call leaves its place', async (t) => {
  const gate = new Gate(1, 1);
  await t.throwsAsync(gate.pass(() => Promise.reject(new Error('failed'))));
  t.is(await gate.pass(() => Promise.resolve(1)), 1);
});

test('a place counts once, whatever passes through it, and only its first pass can be refused', async (t) => {
  const gate = new Gate(1, 1);
  const hold = deferred();
  const first = gate.pass(() => hold.promise);
  const place = gate.place();
  const passes = [1, 2, 3].map((i) => place.pass(() => Promise.resolve(i)));
  await Promise.resolve();
  const refused = gate.place();
  await t.throwsAsync(
    refused.pass(() => Promise.resolve()),
    { instanceOf: InstasegError, code: 'ERR_OVERLOADED' },
  );
  hold.resolve();
  await first;
  t.deepEqual(await Promise.all(passes), [1, 2, 3]);
  t.is(await refused.pass(() => Promise.resolve('after')), 'after');
});

test('no more passes of a place than there are slots compete with others', async (t) => {
  const gate = new Gate(2, 10);
  const order: string[] = [];
  const log = async (name: string): Promise<void> => {
    order.push(name);
    await nextTurn();
  };
  const place = gate.place();
  const passes = Array.from({ length: 8 }, (_, i) => place.pass(() => log(`place ${i}`)));
  await Promise.resolve();
  await gate.pass(() => log('other'));
  await Promise.all(passes);
  t.true(order.indexOf('other') <= 4, order.join());
});

test('a closed place refuses what has not passed', async (t) => {
  const gate = new Gate(1, 1);
  const place = gate.place();
  const hold = deferred();
  const [first, second] = [place.pass(() => hold.promise), place.pass(() => Promise.resolve())];
  place.close();
  hold.resolve();
  await t.notThrowsAsync(first);
  await t.throwsAsync(second, { instanceOf: InstasegError, code: 'ERR_ABORTED' });
});

test('an abort of one signal takes every call that waits on it out of the queue, and makes room', async (t) => {
  const gate = new Gate(1, 3);
  const hold = deferred();
  const first = gate.pass(() => hold.promise);
  const controller = new AbortController();
  const waiting = [1, 2, 3].map(() => gate.pass(() => Promise.resolve(), controller.signal));
  const reason = new Error('enough');
  controller.abort(reason);
  const more = [4, 5, 6].map((i) => gate.pass(() => Promise.resolve(i)));
  hold.resolve();
  await first;
  for (const outcome of await Promise.allSettled(waiting)) t.deepEqual(outcome, { status: 'rejected', reason });
  t.deepEqual(await Promise.all(more), [4, 5, 6]);
});

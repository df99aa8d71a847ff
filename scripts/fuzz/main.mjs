// node scripts/fuzz/main.mjs [--seconds n] [--seed s] [--save]: reads damaged files with the built readers, for ten seconds
// by default: checkpoints of all formats, encoded pictures, raw pictures. Each case is a known file with a few mutations
// that know what such files are made of; it has to be read or refused with a typed error, within two seconds of
// processor time and little memory. Cases that are not are saved in build-fuzz/.
//
// First every file of the corpus (ts/test/fixtures/fuzz/) is read. A case that is refused with a message that no case before
// had has come to a new place in the readers: it joins the files that further cases are made of, and with --save the
// corpus. The cases depend on the seed and the corpus alone, their number on the time.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { makeCheckpoint, WRITTEN } from './checkpoints.mjs';
import { encodedPictures, makePicture, makeRawPicture } from './images.mjs';
import { makeRandom } from './random.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHECKPOINTS = join(ROOT, 'ts/test/fixtures/checkpoints');
const CORPUS = join(ROOT, 'ts/test/fixtures/fuzz');
const FAILURES = join(ROOT, 'build-fuzz');

/** Processor time of a case. Time alone says little on a machine that is busy with other things. */
const CASE_MS = 2000;
/** For a reader that waits for ever without doing anything. */
const WAIT_MS = 30_000;
/** The process as a whole, with 200 MB of Node.js and what the readers may hold. */
const RSS_BYTES = 1_000_000_000;
const HEAP_MB = 512;
/** Larger cases do not join the corpus. */
const CORPUS_BYTES = 4096;

/** A reader that is replaced when it hangs or runs out of memory. */
class Reader {
  #worker;

  async read(target, file) {
    const worker = (this.#worker ??= await startWorker());
    return new Promise((resolve) => {
      const start = performance.now();
      const { user, system } = process.cpuUsage();
      const end = (answer, dead) => {
        clearInterval(timer);
        worker.off('message', succeed);
        worker.off('error', fail);
        if (dead) void this.close();
        resolve(answer);
      };
      const look = () => {
        const used = process.cpuUsage();
        const worked = (used.user + used.system - user - system) / 1000;
        if (worked < CASE_MS && performance.now() - start < WAIT_MS) return;
        end({ result: 'failed', problem: `takes more than ${CASE_MS} ms` }, true);
      };
      const timer = setInterval(look, CASE_MS / 4);
      const succeed = (answer) => end(answer, false);
      const fail = (error) => end({ result: 'failed', problem: String(error) }, true);
      worker.on('message', succeed);
      worker.on('error', fail);
      worker.postMessage({ target, file });
    });
  }

  async close() {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

/** A thread that has loaded the readers. */
async function startWorker() {
  const worker = new Worker(new URL('reader.mjs', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  await once(worker, 'message');
  return worker;
}

/** What the cases of each kind are made of, how, and how many of a hundred they are. */
async function loadTargets() {
  const fixtures = readdirSync(CHECKPOINTS).filter((name) => /\.(pth|pkl)$/.test(name));
  const files = fixtures.sort().map((name) => ({ name, bytes: readFileSync(join(CHECKPOINTS, name)) }));
  return {
    checkpoint: { share: 70, sources: [...files, ...WRITTEN], make: makeCheckpoint },
    image: { share: 20, sources: await encodedPictures(), make: makePicture },
    raw: { share: 10, sources: [], make: makeRawPicture },
  };
}

/** The corpus: [target, name, bytes]. */
function loadCorpus(targets) {
  return Object.keys(targets).flatMap((target) => {
    const folder = join(CORPUS, target);
    return readdirSync(folder)
      .sort()
      .map((name) => ({ target, name, bytes: readFileSync(join(folder, name)), steps: ['of the corpus'] }));
  });
}

/** The place in the readers that a message comes from, by its words without names and numbers. */
function placeOf({ result, problem = '' }, file) {
  const words = problem
    .replaceAll(file, '')
    .replace(/received .*/s, '')
    .replace(/asks for (a call of )?.*/s, 'asks for $1')
    .replace(/(["'])(?:\\.|(?!\1).)*\1/gs, '')
    .replace(/\S*\d\S*/g, '');
  return `${result} ${words}`;
}

class Fuzzer {
  results = {};
  cases = 0;
  slowest = 0;
  largest = 0;
  places = new Set();
  #reader = new Reader();
  #folder = mkdtempSync(join(tmpdir(), 'instaseg-fuzz-'));
  #file = join(this.#folder, 'case');

  constructor(label) {
    this.label = label;
  }

  /** Reads one case. True if it came to a new place. */
  async run({ target, name, steps, bytes }) {
    writeFileSync(this.#file, bytes);
    const start = performance.now();
    let answer = await this.#reader.read(target, this.#file);
    this.slowest = Math.max(this.slowest, performance.now() - start);
    const { rss } = process.memoryUsage();
    this.largest = Math.max(this.largest, rss);
    if (answer.result !== 'failed' && rss > RSS_BYTES) {
      answer = { result: 'failed', problem: `${Math.round(rss / 1e6)} MB of memory` };
      await this.#reader.close();
    }
    this.cases++;
    this.results[answer.result] = (this.results[answer.result] ?? 0) + 1;
    if (answer.result === 'failed') {
      mkdirSync(FAILURES, { recursive: true });
      const saved = join(FAILURES, `${this.label}-${this.cases}-${target}-${name}`);
      writeFileSync(saved, bytes);
      console.log(`FAILED  ${saved}\n  ${name}: ${steps.join(', ')}\n  ${answer.problem}`);
    }
    const place = `${target} ${placeOf(answer, this.#file)}`;
    if (this.places.has(place)) return false;
    this.places.add(place);
    return true;
  }

  async close() {
    await this.#reader.close();
    rmSync(this.#folder, { recursive: true });
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      save: { type: 'boolean', default: false },
    },
  });
  const seconds = Number(values.seconds);
  const seed = Number(values.seed);
  if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error('Expected --seconds above 0 and an integer --seed');

  const random = makeRandom(seed);
  const targets = await loadTargets();
  const corpus = loadCorpus(targets);
  const kinds = Object.entries(targets).flatMap(([target, { share }]) => Array(share).fill(target));
  const fuzzer = new Fuzzer(seed);
  const begin = performance.now();
  try {
    for (const { target, sources } of Object.entries(targets).map(([target, { sources }]) => ({ target, sources }))) {
      for (const source of sources) await fuzzer.run({ target, steps: ['as it is'], ...source });
    }
    for (const entry of corpus) {
      await fuzzer.run(entry);
      targets[entry.target].sources.push(entry);
    }
    while (performance.now() - begin < seconds * 1000) {
      const target = random.pick(kinds);
      const { sources, make } = targets[target];
      const next = { target, ...make(random, sources) };
      if (!(await fuzzer.run(next)) || next.bytes.length > CORPUS_BYTES) continue;
      sources.push(next);
      if (!values.save) continue;
      const digest = createHash('sha256').update(next.bytes).digest('hex').slice(0, 8);
      writeFileSync(join(CORPUS, target, `${digest}-${next.name}`), next.bytes);
    }
  } finally {
    await fuzzer.close();
  }
  const { results, cases, places, slowest, largest } = fuzzer;
  const spent = (performance.now() - begin) / 1000;
  const counts = Object.entries(results).map(([result, count]) => `${result} ${count}`);
  console.log(`${counts.sort().join(', ')}; slowest ${slowest.toFixed(0)} ms, at most ${Math.round(largest / 1e6)} MB`);
  console.log(`seed ${seed}: ${cases} cases, ${Math.round(cases / spent)} a second, ${places.size} outcomes`);
  process.exitCode = results.failed ? 1 : 0;
}

await main();

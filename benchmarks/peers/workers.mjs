// Workers: one process a side, so that memory, threads and instruction sets are its own. Requests go to stdin, replies
// come back on file descriptor 3, a line of JSON each; times are taken inside the worker.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processor time of a process so far, in ticks of 10 ms; undefined where there is no /proc. */
function ticks(pid) {
  try {
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field after it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return undefined;
  }
}

export class Worker {
  #child;
  #waiting = [];
  #error;

  constructor(name, command, args, env) {
    this.name = name;
    this.#child = spawn(command, args, {
      stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
      env: { ...process.env, ...env },
    });
    createInterface({ input: this.#child.stdio[3] }).on('line', (line) =>
      this.#waiting.shift()?.resolve(JSON.parse(line)),
    );
    const failed = (error) => {
      this.#error = error;
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    };
    this.#child.on('error', failed);
    this.#child.on('exit', (code, signal) => failed(new Error(`${name} ended (${signal ?? code})`)));
    this.#child.stdin.on('error', () => undefined); // its end says more
  }

  /** Rejects where the worker reports an error. */
  async ask(request) {
    if (this.#error) throw this.#error;
    const reply = await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    });
    if (reply.error !== undefined) throw new Error(`${this.name}: ${reply.error}`);
    return reply;
  }

  /** Waits until the process computes nothing any more: two ticks in a row without processor time. */
  async atRest() {
    for (let waited = 0; waited < 2000; waited += 30) {
      const before = ticks(this.#child.pid);
      await sleep(before === undefined ? 200 : 30);
      if (ticks(this.#child.pid) === before) return;
    }
  }

  async end() {
    if (this.#error) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    await ended;
  }
}

/** Serves requests in a worker: `handlers` by the request's `do`. */
export async function serve(handlers, reply) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    try {
      reply((await handlers[request.do](request)) ?? {});
    } catch (error) {
      reply({ error: error?.stack ?? String(error) });
    }
  }
}

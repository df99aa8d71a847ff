/** A bounded queue: at most so many pass at once, at most so many wait. */
import { onAbort } from './abort.js';
import { InstasegError } from './errors.js';

/** One call's place in the queue, for as many passes as it needs. */
export interface Place {
  pass<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Refuses, with ERR_ABORTED, what has not passed yet. */
  close(): void;
}

export class Gate {
  readonly #slots: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;
  /** Of those that wait, those that count against the limit. */
  #counted = 0;

  constructor(slots: number, maxWaiting: number) {
    this.#slots = slots;
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Runs `work` once there is a slot, in the order of the calls. While it waits, an abort removes it at once.
   * @throws InstasegError ERR_OVERLOADED when the queue is full; the signal's reason
   */
  async pass<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    this.#refuseAboveLimit();
    return this.#enter(work, signal, true);
  }

  /**
   * A place for a call of many passes. Together they count as one that waits: only the first can be refused, and no more
   * than there are slots compete with other calls.
   */
  place(): Place {
    const own = new Gate(this.#slots, Infinity);
    let admitted = false;
    let closed = false;
    return {
      pass: (work, signal) =>
        own.pass(async () => {
          signal?.throwIfAborted();
          if (closed) throw new InstasegError('ERR_ABORTED', 'the stream was ended');
          if (!admitted) this.#refuseAboveLimit();
          const first = !admitted;
          admitted = true;
          return this.#enter(work, signal, first);
        }, signal),
      close: () => {
        closed = true;
      },
    };
  }

  #refuseAboveLimit(): void {
    if (this.#inside < this.#slots || this.#counted < this.#maxWaiting) return;
    throw new InstasegError(
      'ERR_OVERLOADED',
      `${this.#maxWaiting} calls are waiting already (option maxQueue); try again when one has finished`,
    );
  }

  async #enter<T>(work: () => Promise<T>, signal: AbortSignal | undefined, counts: boolean): Promise<T> {
    if (this.#inside < this.#slots) this.#inside += 1;
    else await this.#wait(signal, counts);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#inside -= 1;
  }

  /** @param counts against the limit: later passes of a place do not */
  async #wait(signal: AbortSignal | undefined, counts: boolean): Promise<void> {
    const weight = counts ? 1 : 0;
    this.#counted += weight;
    await new Promise<void>((resolve, reject) => {
      const forget = onAbort(signal, () => {
        this.#counted -= weight;
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason as Error);
      });
      const enter = (): void => {
        this.#counted -= weight;
        forget();
        resolve();
      };
      this.#waiting.push(enter);
    });
  }
}

/** A bounded queue: at most so many pass at once, at most so many wait. */
import { InstasegError } from './errors.js';

export class Gate {
  readonly #slots: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(slots: number, maxWaiting: number) {
    this.#slots = slots;
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Runs `work` once there is a slot, in the order of the calls. While it waits, an abort removes it at once.
   * @throws InstasegError ERR_OVERLOADED when the queue is full; the signal's reason
   */
  async pass<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(signal);
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

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#inside < this.#slots) {
      this.#inside += 1;
      return;
    }
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new InstasegError(
        'ERR_OVERLOADED',
        `${this.#maxWaiting} calls are waiting already (option maxQueue); try again when one has finished`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason as Error);
      };
      const enter = (): void => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.push(enter);
    });
  }
}

/** Compiled plans by key, the least recently used ones dropped above a limit in bytes. */
import type { Plan } from './plan.js';

interface Entry<R> {
  readonly plan: Promise<Plan<R>>;
  /** Once it is compiled. */
  compiled?: Plan<R>;
  bytes: number;
  /** Calls of `use` under way; a plan that is dropped meanwhile is disposed of by the last of them. */
  users: number;
  dropped: boolean;
}

export class PlanCache<R> {
  readonly #limit: number;
  // A Map keeps insertion order: the first entry is the least recently used.
  readonly #entries = new Map<string, Entry<R>>();

  /** @param limit bytes that the plans may hold together (weights are shared and do not count) */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Calls `work` with the plan of that key, compiled by `compile` on first use. The plan is not disposed of before `work`
   * has settled, whatever happens to the cache. A failed compilation is forgotten.
   */
  async use<T>(key: string, compile: () => Promise<Plan<R>>, work: (plan: Plan<R>) => Promise<T>): Promise<T> {
    const known = this.#entries.get(key);
    const entry: Entry<R> = known ?? { plan: compile(), bytes: 0, users: 0, dropped: false };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users += 1;
    try {
      const plan = entry.compiled ?? (await this.#compiled(key, entry));
      return await work(plan);
    } finally {
      entry.users -= 1;
      if (entry.dropped && entry.users === 0) entry.compiled?.dispose();
    }
  }

  /** Drops all plans; those in use are disposed of when their last use ends. */
  clear(): void {
    for (const key of [...this.#entries.keys()]) this.#drop(key);
  }

  async #compiled(key: string, entry: Entry<R>): Promise<Plan<R>> {
    try {
      const plan = await entry.plan;
      entry.compiled = plan;
      entry.bytes = plan.bytes;
      this.#shrink(key);
      return plan;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key)!;
    this.#entries.delete(key);
    entry.dropped = true;
    // Without users it has been compiled: its first user waits for that.
    if (entry.users === 0) entry.compiled?.dispose();
  }

  #shrink(newest: string): void {
    let total = [...this.#entries.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [key, { bytes }] of this.#entries) {
      if (total <= this.#limit || key === newest) return;
      this.#drop(key);
      total -= bytes;
    }
  }
}

/** Compiled plans by key, the least recently used ones dropped above a limit in bytes. */
import type { Plan } from './plan.js';

export class PlanCache<R> {
  readonly #limit: number;
  // A Map keeps insertion order: the first entry is the least recently used.
  readonly #entries = new Map<string, { plan: Promise<Plan<R>>; bytes: number }>();

  /** @param limit bytes that the plans may hold together (weights are shared and do not count) */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The plan of that key, compiled by `compile` on first use. A failed compilation is forgotten. */
  async get(key: string, compile: () => Promise<Plan<R>>): Promise<Plan<R>> {
    const known = this.#entries.get(key);
    if (known) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known.plan;
    }
    const entry = { plan: compile(), bytes: 0 };
    this.#entries.set(key, entry);
    try {
      const plan = await entry.plan;
      entry.bytes = plan.bytes;
      this.#shrink(key);
      return plan;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  /** Drops all plans; runs in flight finish. */
  clear(): void {
    for (const { plan } of this.#entries.values()) plan.then((compiled) => compiled.dispose()).catch(() => undefined);
    this.#entries.clear();
  }

  // Dropped plans are left to the garbage collector: a caller may be about to run one.
  #shrink(newest: string): void {
    let total = [...this.#entries.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [key, { bytes }] of this.#entries) {
      if (total <= this.#limit || key === newest) return;
      this.#entries.delete(key);
      total -= bytes;
    }
  }
}

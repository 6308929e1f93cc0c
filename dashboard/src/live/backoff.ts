/** How long to wait before the next try: longer each time, and never all at once. */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

export class Backoff {
  #tries = 0;

  /** Milliseconds until the next try: between half of what it could be and all of it. */
  next(): number {
    const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries++);
    return most / 2 + (Math.random() * most) / 2;
  }

  reset(): void {
    this.#tries = 0;
  }
}

/**
 * Whether the server can be reached.
 *
 * While it cannot, nobody asks it anything but this module, which tries again and again; when it
 * answers, `generation` grows, and all that is shown is asked for anew.
 */

import { signal } from "@preact/signals";
import { Backoff } from "./backoff";

class Link {
  readonly state = signal<"up" | "lost">("up");
  readonly generation = signal(0);
  /** When it is tried again, in Date.now()'s time. */
  readonly retryAt = signal(0);

  #backoff = new Backoff();
  #timer = 0;

  isUp(): void {
    if (this.state.value === "up") return;
    clearTimeout(this.#timer);
    this.#backoff.reset();
    this.state.value = "up";
    this.generation.value += 1;
  }

  isLost(): void {
    if (this.state.value === "lost") return;
    this.state.value = "lost";
    this.#wait();
  }

  retryNow(): void {
    clearTimeout(this.#timer);
    void this.#try();
  }

  #wait(): void {
    const wait = this.#backoff.next();
    this.retryAt.value = Date.now() + wait;
    this.#timer = window.setTimeout(() => void this.#try(), wait);
  }

  async #try(): Promise<void> {
    try {
      // Any answer will do: 503 is one too.
      await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(5_000) });
    } catch {
      this.#wait();
      return;
    }
    this.isUp();
  }
}

export const link = new Link();

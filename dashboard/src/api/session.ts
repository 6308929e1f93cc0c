/**
 * Who is signed in.
 *
 * The access token lives in this page's memory alone. What outlives the page is a refresh token in
 * a cookie that scripts cannot read.
 */

import { signal } from "@preact/signals";
import { exchange } from "./exchange";
import { problemOf } from "./problem";

export interface User {
  user_id: string;
  email: string;
  role: string;
}

/** `ended`: was signed in, and the page stands behind the question to sign in again. */
export type Phase = "starting" | "out" | "in" | "ended";

interface Signed {
  token: string;
  expires_in: number;
  user: User;
}

const KEY = "veloflux-session";
// A new token is asked for when this part of its life has passed.
const EARLY = 0.8;

class Session {
  readonly phase = signal<Phase>("starting");
  readonly user = signal<User | null>(null);
  token: string | null = null;

  #timer = 0;
  #renewing: Promise<void> | null = null;
  #waiting: (() => void)[] = [];

  /** Go on with the session of before, if there is one. */
  async start(): Promise<void> {
    if (remembered() && (await this.#refresh())) return;
    // Anybody may ask for the status, but only who is let in is told of the workers.
    const told = await exchange("GET", "/api/status", {}, null);
    if (told.ok && (await told.json()).workers) this.phase.value = "in";
    else this.#leave("out");
  }

  async signIn(name: string, password: string): Promise<void> {
    const body = { username: name, password, cookie: true };
    const response = await exchange("POST", "/api/auth/login", { body }, null);
    if (!response.ok) throw await problemOf(response);
    const signed: Signed = await response.json();
    const before = this.user.value;
    // What somebody was doing is not for somebody else to go on with.
    if (before && before.user_id !== signed.user.user_id) location.reload();
    else this.#enter(signed);
  }

  /** The token for a call; while the session has ended, the one that comes next. */
  async access(): Promise<string | null> {
    if (this.phase.value === "ended") await this.#again();
    return this.token;
  }

  async signOut(): Promise<void> {
    const token = this.token;
    this.#leave("out");
    await exchange("POST", "/api/auth/logout", {}, token).catch(() => null);
  }

  /** Return when `stale` has been replaced, if need be by somebody who signs in. */
  async renew(stale: string | null): Promise<void> {
    if (this.token !== stale) return;
    this.#renewing ??= this.#refresh()
      .then((is) => {
        if (!is && this.phase.value !== "out") this.#leave("ended");
      })
      .finally(() => (this.#renewing = null));
    await this.#renewing;
    if (this.token === null) await this.#again();
  }

  #again(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Tabs share the cookie, and a refresh token is good for one use: one at a time. */
  async #refresh(): Promise<boolean> {
    const ask = async () => {
      const response = await exchange(
        "POST",
        "/api/auth/refresh",
        { body: { cookie: true } },
        null,
      );
      if (!response.ok) return false;
      this.#enter(await response.json());
      return true;
    };
    return navigator.locks ? navigator.locks.request("veloflux-session", ask) : ask();
  }

  #enter(signed: Signed): void {
    this.token = signed.token;
    if (signed.user) this.user.value = signed.user;
    this.phase.value = "in";
    remember(true);
    clearTimeout(this.#timer);
    if (signed.expires_in) {
      const wait_ms = signed.expires_in * EARLY * 1000;
      this.#timer = window.setTimeout(
        () => void this.renew(signed.token).catch(() => null),
        wait_ms,
      );
    }
    for (const go of this.#waiting.splice(0)) go();
  }

  #leave(phase: Phase): void {
    clearTimeout(this.#timer);
    this.token = null;
    if (phase === "out") {
      this.user.value = null;
      remember(false);
    }
    this.phase.value = phase;
  }
}

/** Whether there may be a cookie: scripts cannot see it, and to try in vain looks like an error. */
function remembered(): boolean {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return true;
  }
}

function remember(is: boolean): void {
  try {
    if (is) localStorage.setItem(KEY, "1");
    else localStorage.removeItem(KEY);
  } catch {
    // Then it is tried each time.
  }
}

export const session = new Session();

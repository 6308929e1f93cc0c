/**
 * Live channels: over one WebSocket that watches all of them, or by asking where there is none.
 *
 * A channel has a value for as long as somebody watches it. While the socket is open its messages
 * are the values; in all other states the channel's `poll` is asked every `everyMs`.
 */

import { effect, signal, untracked, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { call } from "../api/client";
import { Problem, UnreachableError } from "../api/problem";
import { session } from "../api/session";
import { Backoff } from "./backoff";
import { link } from "./link";

/** `absent`: this server has no streams. */
export type SocketState = "connecting" | "open" | "absent";

export const socketState = signal<SocketState>("connecting");

// A server that has no streams may be replaced by one that has.
const ABSENT_MS = 60_000;
// The server pings by itself; one that says nothing at all for so long is gone.
const SILENT_MS = 45_000;

export interface Message {
  type: string;
  channel: string;
  data: unknown;
}

/** Messages about the conversation itself. */
const OWN = new Set(["connected", "error", "pong"]);

/** What a message about one object makes of all of them. */
type Merge<T> = (value: T, message: Message) => T;

/** What the socket tells of while somebody watches it. */
export abstract class Told {
  watchers = 0;
  /** Whether the socket that is open tells of this one: a server need not have all channels. */
  isTold = false;

  constructor(readonly name: string) {
    channels.set(name, this);
  }

  abstract take(message: Message): void;

  watch(): () => void {
    if (this.watchers++ === 0) socket.say({ type: "subscribe", channel: this.name });
    return () => {
      if (--this.watchers > 0) return;
      this.isTold = false;
      socket.say({ type: "unsubscribe", channel: this.name });
    };
  }
}

export class Channel<T> extends Told {
  readonly value: Signal<T | undefined> = signal(undefined);
  /** Why the last asking had no answer. */
  readonly error: Signal<unknown> = signal(null);
  #timer = 0;

  constructor(
    name: string,
    readonly poll: () => Promise<T>,
    readonly everyMs: number,
    readonly merge: Merge<T> = (value) => value,
  ) {
    super(name);
  }

  /** A message whose type is the channel's name tells all of it. */
  take(message: Message): void {
    this.error.value = null;
    const known = this.value.value;
    if (message.type === this.name) this.value.value = message.data as T;
    else if (known !== undefined) this.value.value = this.merge(known, message);
  }

  override watch(): () => void {
    const leave = super.watch();
    if (this.watchers === 1) void this.#turn();
    return () => {
      leave();
      if (!this.watchers) clearTimeout(this.#timer);
    };
  }

  /** Ask now, whatever the socket says: something was changed. */
  async refresh(): Promise<void> {
    try {
      this.value.value = await this.poll();
      this.error.value = null;
    } catch (error) {
      if (!(error instanceof UnreachableError)) this.error.value = error;
    }
  }

  async #turn(): Promise<void> {
    clearTimeout(this.#timer);
    if (!this.isTold && link.state.value === "up" && !document.hidden) await this.refresh();
    if (this.watchers) this.#timer = window.setTimeout(() => void this.#turn(), this.everyMs);
  }
}

const channels = new Map<string, Told>();

class Socket {
  #socket: WebSocket | null = null;
  #backoff = new Backoff();
  #timer = 0;
  #silence = 0;
  #isAsking = false;

  constructor() {
    effect(() => {
      const may = session.phase.value === "in" && link.state.value === "up";
      // What they do follows from nothing else.
      untracked(() => (may ? void this.#open() : this.#close()));
    });
  }

  say(message: Record<string, unknown>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async #open(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#socket || this.#isAsking) return;
    let ticket: string;
    this.#isAsking = true;
    try {
      ticket = (await call<{ ticket: string }>("POST", "/api/ws/ticket")).body.ticket;
    } catch (error) {
      if (error instanceof UnreachableError) return;
      const isAbsent = error instanceof Problem && [404, 405, 501].includes(error.status);
      if (isAbsent) socketState.value = "absent";
      this.#later(isAbsent ? ABSENT_MS : this.#backoff.next());
      return;
    } finally {
      this.#isAsking = false;
    }
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const opened = new WebSocket(
      `${scheme}://${location.host}/api/ws/status?ticket=${encodeURIComponent(ticket)}`,
    );
    this.#socket = opened;
    opened.onopen = () => {
      this.#backoff.reset();
      socketState.value = "open";
      this.#hear();
      for (const channel of channels.values()) {
        if (channel.watchers) this.say({ type: "subscribe", channel: channel.name });
      }
    };
    opened.onmessage = (event) => {
      this.#hear();
      const message = JSON.parse(String(event.data)) as Message;
      const channel = channels.get(message.channel);
      // What was under way when the last watcher left is for nobody.
      if (OWN.has(message.type) || !channel?.watchers) return;
      channel.isTold = true;
      channel.take(message);
    };
    opened.onclose = () => {
      if (this.#socket !== opened) return;
      this.#socket = null;
      this.#isOver();
      clearTimeout(this.#silence);
      this.#later(this.#backoff.next());
    };
  }

  #hear(): void {
    clearTimeout(this.#silence);
    this.#silence = window.setTimeout(() => this.#socket?.close(), SILENT_MS);
  }

  #later(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      if (session.phase.value === "in" && link.state.value === "up") void this.#open();
    }, wait);
  }

  #close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    const closing = this.#socket;
    this.#socket = null;
    closing?.close();
    this.#isOver();
  }

  #isOver(): void {
    if (socketState.value === "open") socketState.value = "connecting";
    for (const channel of channels.values()) channel.isTold = false;
  }
}

const socket = new Socket();

/** The channel's value, watched for as long as the component is there. */
export function useChannel<T>(channel: Channel<T>): T | undefined {
  useEffect(() => channel.watch(), [channel]);
  return channel.value.value;
}

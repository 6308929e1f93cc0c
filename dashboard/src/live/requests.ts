/** The access log as it is written: what was told since somebody began to watch, newest first. */

import { signal } from "@preact/signals";
import { Told, type Message } from "./streams";

/** A line of the access log, as far as it is shown. */
export interface Line {
  ts: string;
  status: number;
  method: string;
  scheme: string;
  host: string;
  path: string;
  route: string;
  pool: string;
  backend: string;
  t: { total_ms: number };
  termination: string;
  error: string;
}

export interface Request extends Line {
  /** From 1, in the order in which they were told. */
  number: number;
}

interface Lines {
  lines: Line[];
  dropped: number;
}

/** `told` in all; `missed` were not sent: of much traffic the log is a sample. */
export interface Heard {
  newest: readonly Request[];
  told: number;
  missed: number;
}

// More than are shown, so that a filter finds something among them.
const KEPT = 2_000;

class Requests extends Told {
  /** Undefined until the server has told anything. */
  readonly heard = signal<Heard | undefined>(undefined);

  take({ data }: Message): void {
    const { lines, dropped } = data as Lines;
    const { newest, told, missed } = this.heard.value ?? { newest: [], told: 0, missed: 0 };
    const more = lines.map((line, at) => ({ ...line, number: told + at + 1 })).reverse();
    this.heard.value = {
      newest: [...more, ...newest].slice(0, KEPT),
      told: told + lines.length,
      missed: missed + dropped,
    };
  }

  forget(): void {
    this.heard.value = undefined;
  }
}

export const requests = new Requests("logs");

/** The state of a backend in one word, and how that looks. */

import type { Backend } from "./api/types";
import type { Tone } from "./ui/parts";

type State = "disabled" | "draining" | "ejected" | Backend["status"];

const TONES: Record<State, Tone> = {
  disabled: "off",
  draining: "warn",
  ejected: "bad",
  unhealthy: "bad",
  unknown: "off",
  healthy: "ok",
};

/** Said of the backend first, then found out. */
export function stateOf(backend: Backend): State {
  if (!backend.enabled) return "disabled";
  if (backend.draining) return "draining";
  return backend.ejected ? "ejected" : backend.status;
}

export function toneOf(backend: Backend): Tone {
  return TONES[stateOf(backend)];
}

export function healthyOf(backends: readonly Backend[]): number {
  return backends.filter((backend) => stateOf(backend) === "healthy").length;
}

/** What has become of one backend, as the stream tells it. */
export interface StateChange {
  pool: string;
  address: string;
  state: State | "removed";
}

export function withState(
  backends: readonly Backend[],
  { pool, address, state }: StateChange,
): Backend[] {
  const isIt = (row: Backend) => row.pool === pool && row.address === address;
  if (state === "removed") return backends.filter((row) => !isIt(row));
  const found = state === "healthy" || state === "unhealthy" || state === "unknown";
  return backends.map((row) =>
    isIt(row)
      ? {
          ...row,
          enabled: state !== "disabled",
          draining: state === "draining",
          ejected: state === "ejected",
          status: found ? state : row.status,
        }
      : row,
  );
}

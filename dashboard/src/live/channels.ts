/** What is watched live. */

import { get } from "../api/client";
import { withState, type StateChange } from "../backend";
import type { Backend, Metrics, Status } from "../api/types";
import { Channel } from "./streams";

export const status = new Channel<Status>("status", () => get("/api/status"), 5_000);

export const backends = new Channel<Backend[]>(
  "backends",
  () => get("/api/backends"),
  2_000,
  (rows, { type, data }) =>
    type === "backend_status_update" ? withState(rows, data as StateChange) : rows,
);

export const metrics = new Channel<Metrics>("metrics", () => get("/api/metrics"), 2_000);

/** Traffic over a while: the last minutes second by second and live, or longer from what is stored. */

import { useMemo } from "preact/hooks";
import { get } from "./api/client";
import { useResource } from "./live/resource";

export type Range = "live" | "1h" | "24h" | "7d" | "30d";

export const RANGES: readonly (readonly [Range, string])[] = [
  ["live", "Live"],
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["30d", "30 d"],
];

type Values = (number | null)[];

/** Times are Unix seconds; rates are per second, errors per cent, latencies milliseconds. */
export interface Traffic {
  times: number[];
  rps: Values;
  errors: Values;
  p50: Values;
  p95: Values;
  p99: Values;
  connections: Values;
  from: number;
  to: number;
}

/** One step; of the time that was not `measured_s` nothing is known. */
interface Point {
  timestamp: string;
  measured_s: number;
  requests: number;
  requests_per_second: number;
  error_rate: number;
  p50: number;
  p95: number;
  p99: number;
  active_connections: number;
}

const LENGTH_S: Record<Range, number> = {
  live: 15 * 60,
  "1h": 3600,
  "24h": 86_400,
  "7d": 7 * 86_400,
  "30d": 30 * 86_400,
};

// A daemon that has just started has little to show, and shows it in full width.
const LIVE_AT_LEAST_S = 2 * 60;

export function useTraffic(range: Range): Traffic {
  const isLive = range === "live";
  const read = () =>
    isLive
      ? get<{ series: Point[] }>("/api/system/performance")
      : get<{ series: Point[] }>("/api/analytics", { period: range });
  const { value } = useResource(`traffic ${range}`, read, isLive ? 5_000 : 30_000);
  return useMemo(() => traffic(value?.series ?? [], range), [value, range]);
}

function traffic(points: readonly Point[], range: Range): Traffic {
  const known = points.map((point) => (point.measured_s > 0 ? point : null));
  const answered = points.map((point) => (point.requests > 0 ? point : null));
  const times = points.map((point) => Date.parse(point.timestamp) / 1000);
  const to = Date.now() / 1000;
  let from = to - LENGTH_S[range];
  if (range === "live") from = Math.max(from, Math.min(times[0] ?? to, to - LIVE_AT_LEAST_S));
  return {
    times,
    rps: known.map((point) => point && point.requests_per_second),
    // Of no requests there is neither a rate of errors nor a latency.
    errors: answered.map((point) => point && 100 * point.error_rate),
    p50: answered.map((point) => point && point.p50),
    p95: answered.map((point) => point && point.p95),
    p99: answered.map((point) => point && point.p99),
    connections: known.map((point) => point && point.active_connections),
    from,
    to,
  };
}

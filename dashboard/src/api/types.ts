/** What the API answers, as far as it is shown here. */

export interface Status {
  status: "healthy" | "degraded" | "unhealthy";
  version: string;
  uptime: string;
  config_revision: number;
  pools: number;
  backends: number;
  healthy_backends: number;
  routes: number;
  draining: boolean;
  workers?: Worker[];
}

export interface Worker {
  index: number;
  pid: number;
  state: string;
  config_revision: number;
  restarts: number;
  connections: number;
  uptime: string;
}

/** Counts are since the start; what was never measured is null. */
export interface Backend {
  id: string;
  address: string;
  pool: string;
  weight: number;
  labels: Record<string, string>;
  enabled: boolean;
  draining: boolean;
  backup: boolean;
  status: "healthy" | "unhealthy" | "unknown";
  ejected: boolean;
  /** Requests, or relayed connections, under way. */
  inflight: number;
  requests: number;
  failure_count: number;
  circuit_state: "closed" | "half_open" | "open";
  /** Until the head of an answer, in the last minute. */
  latency_ms: number | null;
  last_check: string | null;
}

export interface Pool {
  name: string;
  algorithm: string;
  [key: string]: unknown;
}

/** As in the configuration; `title` is what logs and metrics call it. */
export interface Route {
  id: string;
  title: string;
  host: string;
  path_prefix: string;
  pool?: string | null;
  pools?: { pool: string; weight: number }[] | null;
  redirect?: { to: string; status: number } | null;
  methods?: string[];
  [key: string]: unknown;
}

export interface Alert {
  id: string;
  title: string;
  message: string;
  severity: string;
  timestamp: string;
  resolved: boolean;
  source: string;
}

export interface LogRecord {
  id: string | number;
  timestamp: string;
  level: string;
  message: string;
  source: string;
  metadata: Record<string, unknown>;
}

/** `changes` are against its parent, of which `omitted` more are not kept. */
export interface Revision {
  number: number;
  at: string;
  author: string;
  reason: string;
  parent: number;
  changes: string[];
  omitted: number;
  in_force: boolean;
}

/** Of requests: `total` since the start, all else of the last minute. */
export interface Metrics {
  timestamp: string;
  /** Null until they are measured. */
  cpu: { usage_percent: number; cores: number; load_average: number[] } | null;
  memory: { total: number; used: number; usage_percent: number; process: number } | null;
  disk: { total: number; used: number; usage_percent: number } | null;
  requests: {
    total: number;
    error_rate: number;
    p50_response_time: number;
    p95_response_time: number;
    p99_response_time: number;
    active_connections: number;
    rate_per_minute: number;
  };
}

export interface Health {
  components: Record<string, { status: Status["status"]; detail: string }>;
}

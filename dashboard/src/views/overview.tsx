/** How it goes: the traffic of a while, with what was changed and what happened beside it. */

import { useMemo, useRef } from "preact/hooks";
import { get } from "../api/client";
import type { Alert, Metrics, Revision } from "../api/types";
import { healthyOf, toneOf } from "../backend";
import { amount, ago, count, dateTime, milliseconds, percent, plural, UNKNOWN } from "../format";
import { backends, metrics, status } from "../live/channels";
import { useResource } from "../live/resource";
import { useChannel } from "../live/streams";
import { href, place, refine } from "../place";
import { RANGES, useTraffic, type Range, type Traffic } from "../traffic";
import { Chart, type Mark } from "../ui/chart";
import { Choice, Empty, Loaded, PageHead, State, Tag, type Tone } from "../ui/parts";
import { SEVERITIES } from "./alerts";
import { changed } from "./propose";
import { readRevisions } from "./configuration";

const CONDITIONS: Record<string, Tone> = { healthy: "ok", degraded: "warn", unhealthy: "bad" };

const GRAVE_PERCENT = 5;
// Workers report once a second: over less than that a rate says nothing.
const RATE_OVER_S = 1.8;

export function Overview() {
  const asked = place.value.query.get("range") as Range;
  const range = RANGES.some(([name]) => name === asked) ? asked : "live";
  const traffic = useTraffic(range);
  const now = useChannel(status);
  const alerts = useResource("alerts", () => get<Alert[]>("/api/system/alerts"), 5_000);
  const revisions = useResource(`revisions ${changed.value}`, readRevisions, 10_000);
  const marks = useMemo(
    () => marksOf(alerts.value ?? [], revisions.value ?? []),
    [alerts.value, revisions.value],
  );
  return (
    <>
      <PageHead title="Overview">
        {now && (
          <State tone={now.draining ? "warn" : (CONDITIONS[now.status] ?? "off")}>
            {now.draining ? "draining" : now.status}
          </State>
        )}
        <Choice
          label="Range"
          options={RANGES}
          value={range}
          onChange={(value) => refine({ range: value === "live" ? "" : value })}
        />
      </PageHead>
      <Figures />
      <Charts traffic={traffic} marks={marks} />
      <div class="halves">
        <PoolsNow />
        <Events marks={marks} />
      </div>
    </>
  );
}

function Figures() {
  const rows = useChannel(backends);
  const now = useChannel(metrics);
  const rate = useRate(now);
  // Of no requests there is neither a rate of errors nor a latency.
  const last = now && now.requests.rate_per_minute > 0 ? now.requests : null;
  const errors = last && 100 * last.error_rate;
  const healthy = rows && healthyOf(rows);
  return (
    <dl class="figures number" aria-label="At this moment">
      <Figure name="Requests" value={amount(rate)} unit="/s" more="now" mark="rate" />
      <Figure
        name="Errors"
        value={percent(errors)}
        more="in the last minute"
        tone={errors ? (errors >= GRAVE_PERCENT ? "bad" : "warn") : ""}
        mark="errors"
      />
      <Figure
        name="Latency p95"
        value={milliseconds(last?.p95_response_time)}
        more={`p50 ${milliseconds(last?.p50_response_time)} · p99 ${milliseconds(last?.p99_response_time)}`}
        mark="p95"
      />
      <Figure
        name="Connections"
        value={count(now?.requests.active_connections)}
        more="open now"
        mark="connections"
      />
      <Figure
        name="Backends"
        value={count(healthy)}
        unit={rows ? ` of ${rows.length}` : ""}
        more="healthy"
        tone={rows && healthy !== undefined && healthy < rows.length ? "warn" : ""}
        mark="backends"
      />
    </dl>
  );
}

/** Requests per second since what was told some seconds before; null until that is known. */
function useRate(now: Metrics | undefined): number | null {
  const before = useRef<Metrics | undefined>(undefined);
  const rate = useRef<number | null>(null);
  if (now && now !== before.current) {
    const then = before.current;
    const passed = then ? (Date.parse(now.timestamp) - Date.parse(then.timestamp)) / 1000 : 0;
    // A total that shrinks is another daemon's.
    const more = then ? now.requests.total - then.requests.total : -1;
    if (passed >= RATE_OVER_S && more >= 0) rate.current = more / passed;
    if (!then || passed >= RATE_OVER_S || more < 0) before.current = now;
  }
  return rate.current;
}

function Figure(props: {
  name: string;
  value: string;
  unit?: string;
  more?: string;
  tone?: Tone;
  mark: string;
}) {
  return (
    <div class={`figure is-${props.tone ?? ""}`} data-figure={props.mark}>
      <dt>{props.name}</dt>
      <dd>
        <b>{props.value}</b>
        {props.value !== UNKNOWN && props.unit && <span class="unit">{props.unit}</span>}
        {props.more && <span class="more-figure faint">{props.more}</span>}
      </dd>
    </div>
  );
}

function Charts({ traffic, marks }: { traffic: Traffic; marks: readonly Mark[] }) {
  const { times, from, to } = traffic;
  const same = { times, from, to, marks };
  return (
    <div class="charts">
      <Chart
        {...same}
        title="Requests per second"
        format={amount}
        series={[{ label: "requests/s", colour: "--series-1", values: traffic.rps, fill: true }]}
      />
      <Chart
        {...same}
        title="Latency"
        format={milliseconds}
        series={[
          { label: "p50", colour: "--series-2", values: traffic.p50 },
          { label: "p95", colour: "--series-1", values: traffic.p95 },
          { label: "p99", colour: "--series-3", values: traffic.p99 },
        ]}
      />
      <Chart
        {...same}
        title="Error rate"
        format={percent}
        series={[{ label: "errors", colour: "--series-bad", values: traffic.errors, fill: true }]}
      />
      <Chart
        {...same}
        title="Active connections"
        format={amount}
        series={[
          { label: "connections", colour: "--series-2", values: traffic.connections, fill: true },
        ]}
      />
    </div>
  );
}

function PoolsNow() {
  const rows = useChannel(backends);
  const names = [...new Set(rows?.map((row) => row.pool))];
  return (
    <section class="card" aria-label="Pools now">
      <header class="card-head">
        <h2>Pools</h2>
        <div class="tools">
          <a href={href("pools")}>All backends</a>
        </div>
      </header>
      {!rows && (
        <Loaded value={rows} error={backends.error.value}>
          {() => null}
        </Loaded>
      )}
      {rows && !names.length && <Empty icon="server" title="No pools" />}
      <ul class="pools-now number">
        {names.map((name) => {
          const all = rows?.filter((row) => row.pool === name) ?? [];
          const busy = all.reduce((sum, row) => sum + row.inflight, 0);
          return (
            <li key={name}>
              <a href={href("pools", { search: name })}>{name}</a>
              <span
                class="dots"
                role="img"
                aria-label={`${healthyOf(all)} of ${plural(all.length, "backend")} healthy`}
              >
                {all.slice(0, 24).map((row) => (
                  <i key={row.id} class={`dot is-${toneOf(row)}`} title={row.address} />
                ))}
              </span>
              <span class="faint">{count(busy)} in flight</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

const SHOWN_EVENTS = 6;

function Events({ marks }: { marks: readonly Mark[] }) {
  const newest = [...marks].sort((a, b) => b.at - a.at).slice(0, SHOWN_EVENTS);
  return (
    <section class="card" aria-label="Events">
      <header class="card-head">
        <h2>Events</h2>
        <div class="tools">
          <a href={href("alerts", { show: "all" })}>Alerts</a>
          <a href={href("configuration")}>Revisions</a>
        </div>
      </header>
      {!newest.length && <Empty icon="history" title="Nothing has happened yet" />}
      <ul class="events">
        {newest.map((mark) => (
          <li key={`${mark.at} ${mark.text}`}>
            <Tag tone={mark.tone}>{mark.tone === "accent" ? "change" : "alert"}</Tag>
            <span>{mark.text}</span>
            <time class="faint number" title={dateTime(mark.at * 1000)}>
              {ago(mark.at * 1000)}
            </time>
          </li>
        ))}
      </ul>
    </section>
  );
}

function marksOf(alerts: readonly Alert[], revisions: readonly Revision[]): Mark[] {
  const happened = alerts.map((alert) => ({
    at: Date.parse(alert.timestamp) / 1000,
    text: alert.title,
    tone: SEVERITIES[alert.severity] === "bad" ? ("bad" as const) : ("warn" as const),
  }));
  const made = revisions.map((revision) => ({
    at: Date.parse(revision.at) / 1000,
    text: [`Revision ${revision.number}`, revision.reason || revision.changes[0]]
      .filter(Boolean)
      .join(": "),
    tone: "accent" as const,
  }));
  return [...happened, ...made];
}

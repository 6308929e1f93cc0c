/** The requests as they end, told over the WebSocket while somebody looks. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { clockTime, count, dateTime, milliseconds, plural, UNKNOWN } from "../format";
import { requests, type Heard, type Request } from "../live/requests";
import { socketState } from "../live/streams";
import { place, refine } from "../place";
import { Button, Choice, Empty, PageHead, SearchField, Tag, Waiting, type Tone } from "../ui/parts";

const STATUSES = [
  ["", "All"],
  ["2", "2xx"],
  ["3", "3xx"],
  ["4", "4xx"],
  ["5", "5xx"],
] as const;
const TONES: Record<string, Tone> = { 2: "ok", 3: "accent", 4: "warn", 5: "bad" };
const SHOWN = 300;

export function Requests({ source }: { source: ComponentChildren }) {
  useWatch();
  // What was heard when it was paused.
  const [held, hold] = useState<Heard | null>(null);
  const status = place.value.query.get("status") ?? "";
  const search = place.value.query.get("search") ?? "";
  const heard = requests.heard.value;
  const seen = held ?? heard;
  return (
    <>
      <PageHead title="Logs">
        {source}
        <SearchField
          label="Search requests"
          value={search}
          onInput={(text) => refine({ search: text })}
        />
        <Choice
          label="Status"
          options={STATUSES}
          value={status as (typeof STATUSES)[number][0]}
          onChange={(value) => refine({ status: value })}
        />
        <Button
          icon={held ? "play" : "pause"}
          disabled={!seen}
          onClick={() => hold(held ? null : (heard ?? null))}
        >
          {held ? "Follow" : "Pause"}
        </Button>
      </PageHead>
      <section class="card" aria-label="Requests">
        {seen ? <Found heard={seen} status={status} search={search} /> : <Silence />}
        {seen && <Left heard={seen} since={held && heard ? heard.told - held.told : 0} />}
      </section>
    </>
  );
}

/** Have the server tell of requests while this is there and the page is seen. */
function useWatch(): void {
  useEffect(() => {
    let leave: (() => void) | null = null;
    const turn = () => {
      leave?.();
      leave = document.hidden ? null : requests.watch();
    };
    turn();
    document.addEventListener("visibilitychange", turn);
    return () => {
      document.removeEventListener("visibilitychange", turn);
      leave?.();
      requests.forget();
    };
  }, []);
}

function Silence() {
  if (socketState.value !== "absent") return <Waiting />;
  return (
    <Empty icon="log" title="No live connection">
      Requests are told over a WebSocket alone, and this server offers none.
    </Empty>
  );
}

function Found({ heard, status, search }: { heard: Heard; status: string; search: string }) {
  const wanted = search.toLowerCase();
  const found = heard.newest.filter(
    (each) => String(each.status).startsWith(status) && text(each).includes(wanted),
  );
  if (found.length) return <Table rows={found.slice(0, SHOWN)} />;
  if (heard.newest.length) return <Empty icon="log" title="No request is like that" />;
  return (
    <Empty icon="log" title="No requests yet">
      Each is shown as it ends.
    </Empty>
  );
}

function text({ status, method, host, path, route, pool, backend, error }: Request): string {
  return [status, method, host + path, route, pool, backend, error].join(" ").toLowerCase();
}

function Left({ heard, since }: { heard: Heard; since: number }) {
  return (
    <p class="requests-left dim number">
      {heard.missed > 0 && (
        <span>{count(heard.missed)} more were left out: of much traffic this is a sample. </span>
      )}
      {since > 0 && <span>Paused; {plural(since, "request")} since.</span>}
    </p>
  );
}

function Table({ rows }: { rows: readonly Request[] }) {
  return (
    <div class="requests" tabIndex={0} role="group" aria-label="Requests, newest first">
      <table class="table">
        <thead>
          <tr>
            <th>Time</th>
            <th>Status</th>
            <th>Method</th>
            <th>What</th>
            <th>Backend</th>
            <th class="right">Took</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((each) => (
            <Row key={each.number} request={each} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ request }: { request: Request }) {
  const { ts, status, method, scheme, host, path, route, pool, backend, t, error } = request;
  return (
    <tr>
      <td class="number">
        <time class="faint" dateTime={ts} title={dateTime(ts)}>
          {clockTime(ts)}
        </time>
      </td>
      <td class="number" title={[request.termination, error].join(" ").trim()}>
        <Tag tone={TONES[String(status)[0] ?? ""] ?? ""}>{status || UNKNOWN}</Tag>
      </td>
      <td>{scheme === "tcp" ? "TCP" : method}</td>
      <td class="mono" title={[`${host}${path}`, route && `route ${route}`].join("\n").trim()}>
        <span class="faint">{host}</span>
        {path}
      </td>
      <td class="mono" title={[pool && `pool ${pool}`, error].join("\n").trim()}>
        {backend || <span class="faint">{error || UNKNOWN}</span>}
      </td>
      <td class="right number">{milliseconds(t.total_ms)}</td>
    </tr>
  );
}

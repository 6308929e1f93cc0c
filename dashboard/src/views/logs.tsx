/** What is written down, as it is: each request, or what the daemon and its workers say. */

import { useRef, useState } from "preact/hooks";
import { get } from "../api/client";
import type { LogRecord } from "../api/types";
import { clockTime, dateTime } from "../format";
import { useResource } from "../live/resource";
import { place, refine } from "../place";
import { Button, Choice, Empty, Loaded, PageHead, SearchField, useEndInSight } from "../ui/parts";
import { Requests } from "./requests";

const LEVELS = [
  ["", "All"],
  ["info", "Info"],
  ["warn", "Warnings"],
  ["error", "Errors"],
] as const;
const LIMIT = 300;
// How far from its end a log may be scrolled and still be followed.
const NEAR_PX = 40;

const SOURCES = [
  ["requests", "Requests"],
  ["daemon", "Daemon"],
] as const;

export function Logs() {
  return place.value.query.get("source") === "daemon" ? (
    <Daemon />
  ) : (
    <Requests source={<Source value="requests" />} />
  );
}

/** Which log it is; filters of one mean nothing to the other. */
function Source({ value }: { value: (typeof SOURCES)[number][0] }) {
  return (
    <Choice
      label="Source"
      options={SOURCES}
      value={value}
      onChange={(source) =>
        refine({ source: source === "daemon" ? source : "", search: "", level: "", status: "" })
      }
    />
  );
}

function Daemon() {
  const level = place.value.query.get("level") ?? "";
  const search = place.value.query.get("search") ?? "";
  const [isPaused, setPaused] = useState(false);
  const records = useResource(
    `logs ${level} ${search}`,
    () => get<LogRecord[]>("/api/system/logs", { level, search, limit: LIMIT }),
    isPaused ? 0 : 2_000,
  );
  return (
    <>
      <PageHead title="Logs">
        <Source value="daemon" />
        <SearchField
          label="Search messages"
          value={search}
          onInput={(text) => refine({ search: text })}
        />
        <Choice
          label="Level"
          options={LEVELS}
          value={level as (typeof LEVELS)[number][0]}
          onChange={(value) => refine({ level: value })}
        />
        <Button icon={isPaused ? "play" : "pause"} onClick={() => setPaused(!isPaused)}>
          {isPaused ? "Follow" : "Pause"}
        </Button>
      </PageHead>
      <section class="card" aria-label="Log">
        <Loaded value={records.value} error={records.error}>
          {(found) =>
            found.length ? (
              <Tail records={found} />
            ) : (
              <Empty icon="log" title="Nothing here">
                {search || level ? "No message is like that." : "Nothing has been written down."}
              </Empty>
            )
          }
        </Loaded>
      </section>
    </>
  );
}

function Tail({ records }: { records: LogRecord[] }) {
  const isAtEnd = useRef(true);
  // Oldest first, as in a terminal, whatever order the API has.
  const shown = [...records].sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  const box = useEndInSight<HTMLOListElement>(shown.at(-1)?.id, isAtEnd.current);
  return (
    <ol
      class="log mono"
      ref={box}
      tabIndex={0}
      aria-label="Messages, oldest first"
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
      }}
    >
      {shown.map((record) => (
        <li key={record.id} class={`is-${record.level}`}>
          <time dateTime={record.timestamp} title={dateTime(record.timestamp)}>
            {clockTime(record.timestamp)}
          </time>
          <span class="level">{record.level}</span>
          <span class="source" title={record.source}>
            {record.source.replace(/^veloflux\./, "")}
          </span>
          <span class="message">{record.message}</span>
        </li>
      ))}
    </ol>
  );
}

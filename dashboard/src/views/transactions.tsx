/** Changes that are staged, or watched after their commit: with a countdown, and the verdict. */

import { useEffect, useState } from "preact/hooks";
import { call, get } from "../api/client";
import { sentence } from "../api/problem";
import { ago, dateTime, duration } from "../format";
import { useResource } from "../live/resource";
import { Button, State, Tag, type Tone } from "../ui/parts";
import { tell } from "../ui/toasts";
import { changed } from "./propose";

interface Transaction {
  id: string;
  state: "open" | "committed" | "watching" | "confirmed" | "rolled_back" | "expired";
  author: string;
  reason: string;
  base: number;
  began_at: string;
  operations: unknown[];
  revision: number | null;
  watch_until: string | null;
  /** Why it ended as it did. */
  verdict: string;
}

const TONES: Record<Transaction["state"], Tone> = {
  open: "accent",
  committed: "ok",
  watching: "live",
  confirmed: "ok",
  rolled_back: "bad",
  expired: "off",
};
const NEWEST = 5;

export function Transactions() {
  const found = useResource(
    `transactions ${changed.value}`,
    () => get<Transaction[]>("/api/config/transactions"),
    2_000,
  );
  // Who may not change anything sees none, and misses nothing.
  if (!found.value?.length) return null;
  const newest = [...found.value].sort((a, b) => (a.began_at < b.began_at ? 1 : -1));
  return (
    <section class="card above" aria-label="Transactions">
      <header class="card-head">
        <h2>Transactions</h2>
      </header>
      <ul class="transactions">
        {newest.slice(0, NEWEST).map((each) => (
          <Row key={each.id} transaction={each} onEnd={found.reload} />
        ))}
      </ul>
    </section>
  );
}

function Row({ transaction, onEnd }: { transaction: Transaction; onEnd: () => Promise<void> }) {
  const { id, state, author, reason, base, began_at, revision, watch_until, verdict } = transaction;

  async function end() {
    try {
      await call("DELETE", `/api/config/transactions/${encodeURIComponent(id)}`);
      tell(state === "watching" ? "It is rolled back." : "It is dropped.");
      changed.value += 1;
    } catch (error) {
      tell(sentence(error), undefined, "bad");
    }
    await onEnd();
  }

  return (
    <li>
      <State tone={TONES[state]}>{state.replace("_", " ")}</State>
      <div>
        <p>
          {reason || `by ${author}`}{" "}
          <Tag>{revision === null ? `from revision ${base}` : `revision ${revision}`}</Tag>
        </p>
        <p class="dim">
          {state === "watching" && watch_until ? <Countdown until={watch_until} /> : verdict}
        </p>
      </div>
      <time class="faint number" title={dateTime(began_at)}>
        {ago(began_at)}
      </time>
      {(state === "open" || state === "watching") && (
        <Button small icon={state === "open" ? "remove" : "undo"} onClick={() => void end()}>
          {state === "open" ? "Drop" : "Roll back now"}
        </Button>
      )}
    </li>
  );
}

function Countdown({ until }: { until: string }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, (Date.parse(until) - now) / 1000);
  return (
    <span class="number">is watched for {duration(left)} more, and kept if it does not burn</span>
  );
}

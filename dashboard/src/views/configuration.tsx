/** The configuration's revisions: what changed, when, by whom, and the way back. */

import { useState } from "preact/hooks";
import { get } from "../api/client";
import type { Revision } from "../api/types";
import { ago, dateTime } from "../format";
import { useResource } from "../live/resource";
import { place, refine } from "../place";
import { Changes } from "../ui/changes";
import { Button, Empty, Loaded, Notice, PageHead, Tag } from "../ui/parts";
import { changed, Confirm, rollback } from "./propose";
import { Transactions } from "./transactions";

export async function readRevisions(): Promise<Revision[]> {
  const { items } = await get<{ items: Revision[] }>("/api/config/revisions", { page_size: 50 });
  return items;
}

export function Configuration() {
  const revisions = useResource(`revisions ${changed.value}`, readRevisions, 5_000);
  return (
    <>
      <PageHead
        title="Configuration"
        about="Every change is a numbered revision. To go back is a change too."
      />
      <Transactions />
      <section class="card" aria-label="Revisions">
        <Loaded value={revisions.value} error={revisions.error}>
          {(found) =>
            found.length ? (
              <Revisions all={found} />
            ) : (
              <Empty icon="commit" title="No revisions">
                Nothing has been changed here yet.
              </Empty>
            )
          }
        </Loaded>
      </section>
    </>
  );
}

function Revisions({ all }: { all: Revision[] }) {
  const current = (all.find((revision) => revision.in_force) ?? all[0]!).number;
  const asked = Number(place.value.query.get("revision"));
  const chosen = all.find((revision) => revision.number === asked) ?? all[0]!;
  return (
    <div class="revisions">
      <ol class="revision-list">
        {all.map((revision) => (
          <li key={revision.number}>
            <button
              type="button"
              aria-current={revision === chosen ? "true" : undefined}
              onClick={() => refine({ revision: String(revision.number) })}
            >
              <span class="revision-title">
                <b class="number">Revision {revision.number}</b>
                {revision.number === current && <Tag tone="ok">in force</Tag>}
                <time class="faint number" title={dateTime(revision.at)}>
                  {ago(revision.at)}
                </time>
              </span>
              <span class="dim">{revision.reason || revision.changes[0] || "nothing changed"}</span>
            </button>
          </li>
        ))}
      </ol>
      <RevisionDetails key={chosen.number} revision={chosen} current={current} />
    </div>
  );
}

function RevisionDetails({ revision, current }: { revision: Revision; current: number }) {
  const [isAsking, setAsking] = useState(false);
  const { number, changes, omitted } = revision;
  const since = useResource(`since ${number} ${current}`, () => difference(number, current));
  return (
    <div class="revision">
      <header>
        <h2>Revision {number}</h2>
        <p class="dim">
          {dateTime(revision.at)} by {revision.author || "nobody known"}
        </p>
        {number !== current && (
          <Button icon="undo" onClick={() => setAsking(true)}>
            Roll back to this
          </Button>
        )}
      </header>
      <h3>What it changed</h3>
      {revision.parent ? (
        <Changes changes={changes} />
      ) : (
        <Notice>It is the first: there was nothing before.</Notice>
      )}
      {omitted > 0 && <p class="more dim">and {omitted} more</p>}
      {number !== current && (
        <>
          <h3>What has changed since</h3>
          <Loaded value={since.value} error={since.error}>
            {(found) => <Changes changes={found} />}
          </Loaded>
        </>
      )}
      {isAsking && (
        <Confirm
          title={`Roll back to revision ${number}`}
          change={rollback(number)}
          difference={() => difference(current, number)}
          verb="Roll back"
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}

/** What makes one revision of another. */
async function difference(from: number, to: number): Promise<string[]> {
  if (from === to) return [];
  const path = `/api/config/revisions/${from}/diff`;
  return (await get<{ changes: string[] }>(path, { to })).changes;
}

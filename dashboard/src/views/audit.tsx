/** Who did what: every write, sign-in and refusal. */

import { get } from "../api/client";
import { ago, dateTime, UNKNOWN } from "../format";
import { useResource } from "../live/resource";
import { place, refine } from "../place";
import { Empty, Loaded, PageHead, SearchField, Tag } from "../ui/parts";

interface AuditRecord {
  id: number;
  at: string;
  actor: string;
  action: string;
  object: string;
  outcome: "done" | "refused" | "failed";
  reason: string;
  after_revision: number | null;
  address: string;
  /** Refusals from the same address before it, which were too many to keep. */
  left_out: number;
}

const NEWEST = 200;

export function Audit() {
  const records = useResource(
    "audit",
    () => get<{ items: AuditRecord[] }>("/api/audit", { page_size: NEWEST }),
    5_000,
  );
  const search = place.value.query.get("search") ?? "";
  return (
    <>
      <PageHead title="Audit" about="Every change, sign-in and refusal, newest first.">
        <SearchField
          label="Search records"
          value={search}
          onInput={(text) => refine({ search: text })}
        />
      </PageHead>
      <section class="card" aria-label="Audit records">
        <Loaded value={records.value} error={records.error}>
          {({ items }) => {
            const found = items.filter((each) => text(each).includes(search.toLowerCase()));
            if (!found.length) return <Empty icon="history" title="Nothing here" />;
            return <Records records={found} />;
          }}
        </Loaded>
      </section>
    </>
  );
}

function text({ actor, action, object, outcome, reason }: AuditRecord): string {
  return [actor, said(action), object, outcome, reason].join(" ").toLowerCase();
}

/** `put_api_backends_id` as `put backends id`. */
function said(action: string): string {
  return action.replace("_api_", " ").replaceAll("_", " ");
}

function Records({ records }: { records: AuditRecord[] }) {
  return (
    <table class="table is-stacked">
      <thead>
        <tr>
          <th>When</th>
          <th>Who</th>
          <th>What</th>
          <th>On</th>
          <th>Outcome</th>
          <th>Revision</th>
          <th>From</th>
        </tr>
      </thead>
      <tbody>
        {records.map((each) => (
          <tr key={each.id}>
            <td data-label="When" class="number">
              <time dateTime={each.at} title={dateTime(each.at)}>
                {ago(each.at)}
              </time>
            </td>
            <td data-label="Who">{each.actor || UNKNOWN}</td>
            <td data-label="What">{said(each.action)}</td>
            <td data-label="On">
              <code>{each.object || UNKNOWN}</code>
            </td>
            <td data-label="Outcome">
              <Tag tone={each.outcome === "done" ? "ok" : "bad"}>{each.outcome}</Tag>{" "}
              {each.reason && <span class="faint">{each.reason}</span>}{" "}
              {each.left_out > 0 && <Tag>and {each.left_out} more before</Tag>}
            </td>
            <td data-label="Revision" class="number">
              {each.after_revision ?? UNKNOWN}
            </td>
            <td data-label="From" class="faint">
              <code>{each.address}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

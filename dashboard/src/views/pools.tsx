/** Pools and their backends: how they are, and what may be done with them. */

import { useState } from "preact/hooks";
import { get } from "../api/client";
import type { Backend, Pool } from "../api/types";
import { healthyOf, stateOf, toneOf } from "../backend";
import { ago, amount, count, milliseconds, plural, UNKNOWN } from "../format";
import { backends } from "../live/channels";
import { useResource } from "../live/resource";
import { useChannel } from "../live/streams";
import { place, refine } from "../place";
import { Button, Empty, Loaded, PageHead, SearchField, State, Tag, Wrong } from "../ui/parts";
import { Field } from "../ui/field";
import { type Change, changed, Confirm, Edit } from "./propose";

type Act = {
  kind: "drain" | "enable" | "edit" | "remove" | "add";
  pool: string;
  backend?: Backend;
};

export function Pools() {
  const pools = useResource(`pools ${changed.value}`, () => get<Pool[]>("/api/pools"), 15_000);
  const rows = useChannel(backends);
  const [act, setAct] = useState<Act | null>(null);
  const search = place.value.query.get("search") ?? "";
  return (
    <>
      <PageHead title="Pools">
        <SearchField
          label="Search backends"
          value={search}
          onInput={(text) => refine({ search: text })}
        />
      </PageHead>
      <Loaded value={pools.value} error={pools.error}>
        {(found) =>
          found.length ? (
            found.map((pool) => (
              <PoolCard
                key={pool.name}
                pool={pool}
                rows={rows?.filter((row) => row.pool === pool.name)}
                search={search}
                onAct={setAct}
              />
            ))
          ) : (
            <Empty icon="server" title="No pools">
              The configuration has none; requests are answered 404.
            </Empty>
          )
        }
      </Loaded>
      {!rows && <Wrong error={backends.error.value} />}
      {act && <Doing act={act} onClose={() => setAct(null)} />}
    </>
  );
}

function PoolCard(props: {
  pool: Pool;
  rows: Backend[] | undefined;
  search: string;
  onAct: (act: Act) => void;
}) {
  const { pool, rows, search, onAct } = props;
  const healthy = rows && healthyOf(rows);
  const shown = rows?.filter((row) => `${row.address} ${pool.name}`.includes(search));
  const total = rows?.reduce((sum, row) => sum + (row.enabled ? row.weight : 0), 0) ?? 0;
  if (search && !shown?.length) return null;
  return (
    <section class="card" aria-label={`Pool ${pool.name}`}>
      <header class="card-head">
        <h2>{pool.name}</h2>
        <Tag>{pool.algorithm}</Tag>
        <span class="faint number">
          {rows ? `${healthy} of ${plural(rows.length, "backend")} healthy` : UNKNOWN}
        </span>
        <div class="tools">
          <Button small icon="plus" onClick={() => onAct({ kind: "add", pool: pool.name })}>
            Add backend
          </Button>
        </div>
      </header>
      {shown && (
        <table class="table is-stacked backends number">
          <thead>
            <tr>
              <th>Backend</th>
              <th>State</th>
              <th>Weight</th>
              <th class="right">In flight</th>
              <th class="right">Requests</th>
              <th class="right">Failures</th>
              <th class="right">Latency</th>
              <th class="right">Checked</th>
              <th>
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <BackendRow key={row.id} row={row} total={total} onAct={onAct} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function BackendRow({
  row,
  total,
  onAct,
}: {
  row: Backend;
  total: number;
  onAct: (act: Act) => void;
}) {
  const does = (kind: Act["kind"]) => () => onAct({ kind, pool: row.pool, backend: row });
  const isOut = row.draining || !row.enabled;
  return (
    <tr data-backend={row.address}>
      <td data-label="Backend">
        <span class="backend">
          <code>{row.address}</code>
          {row.backup && <Tag>backup</Tag>}
          {Object.entries(row.labels).map(([name, value]) => (
            <Tag key={name}>
              {name}={value}
            </Tag>
          ))}
        </span>
      </td>
      <td data-label="State">
        <BackendState row={row} />
      </td>
      <td data-label="Weight">
        <span class="weight">
          {row.weight}
          <Share of={row.enabled ? row.weight : 0} total={total} />
        </span>
      </td>
      <td class="right" data-label="In flight">
        {count(row.inflight)}
      </td>
      <td class="right" data-label="Requests">
        {amount(row.requests)}
      </td>
      <td class="right" data-label="Failures">
        {amount(row.failure_count)}
      </td>
      <td class="right" data-label="Latency">
        {milliseconds(row.latency_ms)}
      </td>
      <td class="right dim is-bare" data-label="Checked">
        {ago(row.last_check)}
      </td>
      <td class="acts">
        <span class="acts-row">
          {isOut ? (
            <Button small onClick={does("enable")}>
              Enable
            </Button>
          ) : (
            <Button small onClick={does("drain")}>
              Drain
            </Button>
          )}
          <Button
            small
            kind="plain"
            icon="edit"
            label={`Edit ${row.address}`}
            onClick={does("edit")}
          />
          <Button
            small
            kind="plain"
            icon="remove"
            label={`Remove ${row.address}`}
            onClick={does("remove")}
          />
        </span>
      </td>
    </tr>
  );
}

/** A bar as an SVG: its length is an attribute, not a style. */
function Share({ of, total }: { of: number; total: number }) {
  const share = total ? of / total : 0;
  return (
    <svg class="share" viewBox="0 0 48 4" width="48" height="4" aria-hidden="true">
      <rect class="share-all" width="48" height="4" rx="2" />
      {share > 0 && <rect class="share-part" width={Math.max(3, 48 * share)} height="4" rx="2" />}
    </svg>
  );
}

function BackendState({ row }: { row: Backend }) {
  return (
    <span class="tags">
      <State tone={toneOf(row)}>{stateOf(row)}</State>
      {row.circuit_state !== "closed" && (
        <Tag tone={row.circuit_state === "open" ? "bad" : "warn"}>
          circuit {row.circuit_state.replace("_", " ")}
        </Tag>
      )}
    </span>
  );
}

function Doing({ act, onClose }: { act: Act; onClose: () => void }) {
  const { backend, pool } = act;
  if (!backend) return <AddBackend pool={pool} onClose={onClose} />;
  const path = `/api/backends/${encodeURIComponent(backend.id)}`;
  const { address } = backend;
  const put = (body: object, said: string): Change => ({ method: "PUT", path, body, said });
  switch (act.kind) {
    case "drain":
      return (
        <Confirm
          title={`Drain ${address}`}
          // Who drains has weight 0, and is remembered to have had another.
          change={{ ...put({ draining: true }, `${address} drains.`), preview: { weight: 0 } }}
          verb="Drain"
          onClose={onClose}
        >
          <p class="dim">It gets no new requests. What it works on now is finished.</p>
        </Confirm>
      );
    case "enable":
      return <Enable backend={backend} put={put} onClose={onClose} />;
    case "remove":
      return (
        <Confirm
          title={`Remove ${address} from ${pool}`}
          change={{ method: "DELETE", path, said: `${address} is gone from ${pool}.` }}
          verb="Remove"
          isGrave
          onClose={onClose}
        >
          <p class="dim">What it works on now is finished; nothing new comes to it.</p>
        </Confirm>
      );
    default:
      return <EditBackend backend={backend} put={put} onClose={onClose} />;
  }
}

type Put = (body: object, said: string) => Change;

/** Which weight it had before a drain only the daemon knows. */
function Enable({ backend, put, onClose }: { backend: Backend; put: Put; onClose: () => void }) {
  const said = `${backend.address} takes traffic again.`;
  const change = put(backend.draining ? { draining: false } : { enabled: true }, said);
  return (
    <Confirm
      title={`Enable ${backend.address}`}
      change={change}
      {...(backend.draining && { difference: () => Promise.resolve(null) })}
      verb="Enable"
      onClose={onClose}
    >
      {backend.draining && <p class="dim">It gets the weight that it had before it was drained.</p>}
    </Confirm>
  );
}

function EditBackend(props: { backend: Backend; put: Put; onClose: () => void }) {
  const { backend } = props;
  const [weight, setWeight] = useState(String(backend.weight));
  return (
    <Edit
      title={`Edit ${backend.address}`}
      change={() =>
        props.put({ weight: number(weight) }, `${backend.address} has weight ${weight}.`)
      }
      shown={["/weight"]}
      onClose={props.onClose}
    >
      {(error) => (
        <div class="fields">
          <WeightField value={weight} onInput={setWeight} error={error} isFirst />
        </div>
      )}
    </Edit>
  );
}

function AddBackend({ pool, onClose }: { pool: string; onClose: () => void }) {
  const [address, setAddress] = useState("");
  const [weight, setWeight] = useState("1");
  return (
    <Edit
      title={`Add a backend to ${pool}`}
      change={() => ({
        method: "POST",
        path: "/api/backends",
        body: { pool, address: address.trim(), weight: number(weight) },
        said: `${address} is in ${pool}.`,
      })}
      shown={["/address", "/weight"]}
      onClose={onClose}
    >
      {(error) => (
        <div class="fields">
          <Field
            label="Address"
            hint="host:port, or unix: and a path"
            all
            error={error}
            pointer="/address"
          >
            <input
              class="input"
              required
              autofocus
              spellcheck={false}
              value={address}
              onInput={(event) => setAddress(event.currentTarget.value)}
            />
          </Field>
          <WeightField value={weight} onInput={setWeight} error={error} />
        </div>
      )}
    </Edit>
  );
}

function WeightField(props: {
  value: string;
  onInput: (value: string) => void;
  error: unknown;
  isFirst?: boolean;
}) {
  return (
    <Field
      label="Weight"
      hint="Its share beside the others; 0: only clients that stick to it"
      error={props.error}
      pointer="/weight"
    >
      <input
        class="input"
        inputMode="numeric"
        required
        autofocus={props.isFirst}
        value={props.value}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
    </Field>
  );
}

/** What somebody typed as a number, or as it is, for the API to say what is wrong with it. */
function number(text: string): number | string {
  return /^-?\d+$/.test(text.trim()) ? Number(text) : text;
}

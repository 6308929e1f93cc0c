/** Which requests go where; to look at, to change, and to explain. */

import { useState } from "preact/hooks";
import { get } from "../api/client";
import type { Pool, Route } from "../api/types";
import { useResource } from "../live/resource";
import { href, place, refine } from "../place";
import { Field } from "../ui/field";
import { Button, Empty, Loaded, PageHead, SearchField, Tag } from "../ui/parts";
import { type Change, changed, Confirm, Edit } from "./propose";

type Act = { kind: "add" } | { kind: "edit" | "remove"; route: Route };

// More rows than that are for the search to narrow.
const MOST = 200;

export function Routes() {
  const routes = useResource(`routes ${changed.value}`, () => get<Route[]>("/api/routes"), 15_000);
  const [act, setAct] = useState<Act | null>(null);
  const search = place.value.query.get("search") ?? "";
  const close = () => setAct(null);
  return (
    <>
      <PageHead title="Routes">
        <SearchField
          label="Search routes"
          value={search}
          onInput={(text) => refine({ search: text })}
        />
        <Button kind="main" icon="plus" onClick={() => setAct({ kind: "add" })}>
          Add route
        </Button>
      </PageHead>
      <section class="card" aria-label="Routes">
        <Loaded value={routes.value} error={routes.error}>
          {(all) => <Table all={all} search={search} onAct={setAct} />}
        </Loaded>
      </section>
      {act?.kind === "remove" && (
        <Confirm
          title={`Delete route ${act.route.title}`}
          change={{
            method: "DELETE",
            path: `/api/routes/${encodeURIComponent(act.route.id)}`,
            said: `Route ${act.route.title} is gone.`,
          }}
          verb="Delete"
          isGrave
          onClose={close}
        >
          <p class="dim">Its requests go where the next route that matches leads, if any does.</p>
        </Confirm>
      )}
      {act?.kind === "add" && <RouteForm onClose={close} />}
      {act?.kind === "edit" && <RouteForm route={act.route} onClose={close} />}
    </>
  );
}

function Table(props: { all: Route[]; search: string; onAct: (act: Act) => void }) {
  const { all, search, onAct } = props;
  const found = all.filter((route) => text(route).includes(search.toLowerCase()));
  if (!all.length) {
    return (
      <Empty icon="route" title="No routes">
        Every request is answered 404. Add one that says which pool answers.
      </Empty>
    );
  }
  if (!found.length) return <Empty icon="search" title={`Nothing has “${search}”`} />;
  return (
    <>
      <table class="table is-stacked">
        <thead>
          <tr>
            <th>Route</th>
            <th>Host</th>
            <th>Path</th>
            <th>Goes to</th>
            <th>More</th>
            <th>
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {found.slice(0, MOST).map((route) => (
            <tr key={route.id} data-route={route.id}>
              <td data-label="Route">
                <b class="name">{route.title}</b>
              </td>
              <td data-label="Host">
                <code>{route.host}</code>
              </td>
              <td data-label="Path">
                <code>{route.path_prefix}</code>
              </td>
              <td data-label="Goes to">
                <Target route={route} />
              </td>
              <td data-label="More" class={traits(route).length ? "is-wide" : "is-bare"}>
                <span class="tags">
                  {traits(route).map((trait) => (
                    <Tag key={trait}>{trait}</Tag>
                  ))}
                </span>
              </td>
              <td class="acts">
                <span class="acts-row">
                  <a class="button is-small" href={explained(route)}>
                    Explain
                  </a>
                  <Button
                    small
                    kind="plain"
                    icon="edit"
                    label={`Edit ${route.title}`}
                    onClick={() => onAct({ kind: "edit", route })}
                  />
                  <Button
                    small
                    kind="plain"
                    icon="remove"
                    label={`Delete ${route.title}`}
                    onClick={() => onAct({ kind: "remove", route })}
                  />
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.length > MOST && (
        <p class="more faint">
          {MOST} of {found.length} routes; search to see the others.
        </p>
      )}
    </>
  );
}

function text(route: Route): string {
  return [route.title, route.host, route.path_prefix, ...pools(route)].join(" ").toLowerCase();
}

function pools(route: Route): string[] {
  return route.pools?.map((share) => share.pool) ?? (route.pool ? [route.pool] : []);
}

function Target({ route }: { route: Route }) {
  if (route.redirect) {
    return (
      <>
        <Tag tone="warn">{route.redirect.status}</Tag> <code>{route.redirect.to}</code>
      </>
    );
  }
  const total = route.pools?.reduce((sum, share) => sum + share.weight, 0) ?? 0;
  return (
    <span class="tags">
      {route.pools && route.pools.length > 1
        ? route.pools.map(({ pool, weight }) => (
            <Tag key={pool} tone="accent">
              {pool} {Math.round((100 * weight) / (total || 1))} %
            </Tag>
          ))
        : pools(route).map((pool) => (
            <Tag key={pool} tone="accent">
              {pool}
            </Tag>
          ))}
    </span>
  );
}

const TRAITS: readonly (readonly [string, string])[] = [
  ["rate_limit", "rate limit"],
  ["cors", "CORS"],
  ["mirror", "mirror"],
  ["compression", "compression"],
  ["allow", "allow list"],
  ["deny", "deny list"],
  ["headers", "by header"],
  ["strip_prefix", "strips prefix"],
];

function traits(route: Route): string[] {
  const methods = route.methods?.length ? [route.methods.join(", ")] : [];
  return [...methods, ...TRAITS.filter(([key]) => isSet(route[key])).map(([, said]) => said)];
}

/** Whether a key says anything else than that it was left out. */
function isSet(value: unknown): boolean {
  if (value && typeof value === "object") return Object.values(value).some(isSet);
  return Boolean(value);
}

function explained(route: Route): string {
  const host = route.host.replace("*.", "www.").replace("*", "example.org");
  return href("explain", { method: route.methods?.[0] ?? "GET", host, path: route.path_prefix });
}

/** Keys with a field of their own, and what is only shown; all others are edited as JSON. */
const OWN = ["id", "title", "host", "path_prefix", "pool", "pools", "methods"];
/** Those that are true where nothing is said. */
const TRUE = ["preserve_host", "websocket"];
/** Those that cannot be null. */
const FIELDS = ["headers", "request_headers", "response_headers"];

function RouteForm({ route, onClose }: { route?: Route; onClose: () => void }) {
  const known = useResource("pools", () => get<Pool[]>("/api/pools"));
  const [id, setId] = useState(route?.id === route?.title ? (route?.id ?? "") : "");
  const [host, setHost] = useState(route?.host ?? "*");
  const [prefix, setPrefix] = useState(route?.path_prefix ?? "/");
  const [pool, setPool] = useState(route ? shares(route) : "");
  const [methods, setMethods] = useState(route?.methods?.join(", ") ?? "");
  const [rest, setRest] = useState(more(route));

  function change(): Change {
    const body = {
      ...(id.trim() && { id: id.trim() }),
      host: host.trim(),
      path_prefix: prefix.trim(),
      ...target(pool, route),
      methods: methods.split(/[\s,]+/).filter(Boolean),
      ...(route && leftOut(rest, route)),
      ...parsed(rest),
    };
    if (!route) {
      const said = `The route for ${host}${prefix} is there.`;
      return { method: "POST", path: "/api/routes", body, said };
    }
    const path = `/api/routes/${encodeURIComponent(route.id)}`;
    return { method: "PUT", path, body, said: `Route ${route.title} is changed.` };
  }

  const input = (value: string, set: (value: string) => void, more = {}) => (
    <input
      class="input mono"
      spellcheck={false}
      autocapitalize="none"
      value={value}
      onInput={(event) => set(event.currentTarget.value)}
      {...more}
    />
  );
  return (
    <Edit
      title={route ? `Edit route ${route.title}` : "Add a route"}
      change={change}
      shown={["/id", "/host", "/path_prefix", "/pool", "/pools", "/methods"]}
      onClose={onClose}
    >
      {(error) => (
        <div class="fields">
          <Field label="Host" hint="example.org, *.example.org or *" error={error} pointer="/host">
            {input(host, setHost, { required: true, autofocus: true })}
          </Field>
          <Field label="Path prefix" hint="Whole segments" error={error} pointer="/path_prefix">
            {input(prefix, setPrefix, { required: true })}
          </Field>
          <Field
            label="Pool"
            hint="Or several by weight: stable 90, next 10"
            error={error}
            pointer="/pool"
          >
            {input(pool, setPool, { list: "known-pools", required: !route?.redirect })}
          </Field>
          <datalist id="known-pools">
            {known.value?.map(({ name }) => (
              <option key={name} value={name} />
            ))}
          </datalist>
          <Field label="Methods" hint="Empty: all" error={error} pointer="/methods">
            {input(methods, setMethods, { placeholder: "GET, HEAD" })}
          </Field>
          <Field label="Id" hint="For logs and metrics" all error={error} pointer="/id">
            {input(id, setId, { placeholder: `${host}${prefix}` })}
          </Field>
          <Field label="Everything else" hint="JSON, as in the configuration" all>
            <textarea
              class="input"
              rows={6}
              spellcheck={false}
              value={rest}
              onInput={(event) => setRest(event.currentTarget.value)}
            />
          </Field>
        </div>
      )}
    </Edit>
  );
}

function shares(route: Route): string {
  if (!route.pools) return route.pool ?? "";
  return route.pools.map(({ pool, weight }) => `${pool} ${weight}`).join(", ");
}

/** `app`, or `stable 90, next 10`. */
function target(said: string, route?: Route): Partial<Route> {
  const parts = said.split(",").map((part) => part.trim().split(/\s+/));
  const [first = []] = parts;
  if (parts.length === 1 && first.length < 2) {
    return { pool: first[0] || null, ...(route?.pools && { pools: null }) };
  }
  const pools = parts.map(([pool = "", weight = "1"]) => ({ pool, weight: Number(weight) }));
  return { pools, ...(route?.pool && { pool: null }) };
}

function more(route?: Route): string {
  const rest = said(route ?? {});
  return rest.length ? JSON.stringify(Object.fromEntries(rest), null, 2) : "";
}

/** The keys without a field that say something. */
function said(route: object): [string, unknown][] {
  return Object.entries(route).filter(
    ([key, value]) => !OWN.includes(key) && (TRUE.includes(key) ? value === false : isSet(value)),
  );
}

/** What was said and is no more is not kept: it is as if it had never been said. */
function leftOut(rest: string, route: Route): Record<string, unknown> {
  const kept = parsed(rest);
  const gone = said(route).filter(([key]) => !(key in kept));
  return Object.fromEntries(gone.map(([key, value]) => [key, nothing(key, value)]));
}

function nothing(key: string, value: unknown): unknown {
  if (typeof value === "boolean") return !value;
  if (Array.isArray(value)) return [];
  return FIELDS.includes(key) ? {} : null;
}

function parsed(rest: string): Record<string, unknown> {
  if (!rest.trim()) return {};
  try {
    const found: unknown = JSON.parse(rest);
    if (found && typeof found === "object" && !Array.isArray(found)) return { ...found };
  } catch (error) {
    throw new Error(`Everything else is no JSON: ${(error as Error).message}`);
  }
  throw new Error('Everything else must be an object: {"strip_prefix": true}');
}

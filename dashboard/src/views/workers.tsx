/** The daemon itself: the processes that move the bytes, its parts, and the machine. */

import { get } from "../api/client";
import type { Health } from "../api/types";
import { bytes, count, duration, percent, plural, UNKNOWN } from "../format";
import { metrics, status } from "../live/channels";
import { useResource } from "../live/resource";
import { useChannel } from "../live/streams";
import { Empty, Loaded, PageHead, State, Tag, type Tone } from "../ui/parts";

const TONES: Record<string, Tone> = {
  serving: "ok",
  starting: "warn",
  draining: "warn",
  stopping: "warn",
};

export function Workers() {
  const now = useChannel(status);
  const workers = now?.workers;
  return (
    <>
      <PageHead title="Workers" about={now && told(now.uptime, now.config_revision)} />
      <section class="card" aria-label="Workers">
        {!now ? (
          <Loaded value={now} error={status.error.value}>
            {() => null}
          </Loaded>
        ) : !workers?.length ? (
          <Empty icon="cpu" title="No workers">
            Nobody serves traffic. The log says why.
          </Empty>
        ) : (
          <table class="table is-stacked number">
            <thead>
              <tr>
                <th>Worker</th>
                <th>State</th>
                <th class="right">Process</th>
                <th class="right">Connections</th>
                <th class="right">Revision</th>
                <th class="right">Restarts</th>
                <th class="right">Up for</th>
              </tr>
            </thead>
            <tbody>
              {workers.map((worker) => (
                <tr key={worker.index}>
                  <td data-label="Worker">{worker.index}</td>
                  <td data-label="State">
                    <State tone={TONES[worker.state] ?? "bad"}>{worker.state}</State>
                  </td>
                  <td class="right" data-label="Process">
                    <code>{worker.pid || UNKNOWN}</code>
                  </td>
                  <td class="right" data-label="Connections">
                    {count(worker.connections)}
                  </td>
                  <td class="right" data-label="Revision">
                    {worker.config_revision}{" "}
                    {worker.config_revision !== now.config_revision && (
                      <Tag tone="warn">behind</Tag>
                    )}
                  </td>
                  <td class="right" data-label="Restarts">
                    {worker.restarts}
                  </td>
                  <td class="right" data-label="Up for">
                    {duration(worker.uptime)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
      <div class="halves below">
        <Parts />
        <Machine />
      </div>
    </>
  );

  function told(uptime: string, revision: number): string {
    const number = workers ? `${plural(workers.length, "process", "processes")}, ` : "";
    return `${number}revision ${revision}, up for ${duration(uptime)}`;
  }
}

const CONDITIONS: Record<string, Tone> = { healthy: "ok", degraded: "warn", unhealthy: "bad" };

function Parts() {
  const found = useResource("health", () => get<Health>("/api/status/health"), 10_000);
  return (
    <section class="card" aria-label="Parts">
      <header class="card-head">
        <h2>Parts</h2>
      </header>
      <Loaded value={found.value} error={found.error}>
        {({ components }) => (
          <ul class="parts">
            {Object.entries(components).map(([name, part]) => (
              <li key={name}>
                <State tone={CONDITIONS[part.status] ?? "off"}>{name.replaceAll("_", " ")}</State>
                <span class="dim">{part.detail}</span>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </section>
  );
}

function Machine() {
  const now = useChannel(metrics);
  const { cpu, memory, disk } = now ?? {};
  return (
    <section class="card" aria-label="Machine">
      <header class="card-head">
        <h2>Machine</h2>
      </header>
      <dl class="facts card-body number">
        <dt>Processors</dt>
        <dd>
          {percent(cpu?.usage_percent)}
          {cpu && <span class="faint"> of {plural(cpu.cores, "core")}</span>}
        </dd>
        <dt>Load</dt>
        <dd>{cpu ? cpu.load_average.map((each) => each.toFixed(2)).join("  ") : UNKNOWN}</dd>
        <dt>Memory</dt>
        <dd>
          {percent(memory?.usage_percent)}
          {memory && <span class="faint"> of {bytes(memory.total)}</span>}
        </dd>
        <dt>VeloFlux</dt>
        <dd>
          {bytes(memory?.process)}
          <span class="faint"> with its workers</span>
        </dd>
        <dt>Disk</dt>
        <dd>
          {percent(disk?.usage_percent)}
          {disk && <span class="faint"> of {bytes(disk.total)}</span>}
        </dd>
      </dl>
    </section>
  );
}

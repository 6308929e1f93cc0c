/** What asks for somebody's attention, and what did. */

import { get } from "../api/client";
import type { Alert } from "../api/types";
import { ago, dateTime } from "../format";
import { useResource } from "../live/resource";
import { place, refine } from "../place";
import { Choice, Empty, Loaded, PageHead, State, Tag, type Tone } from "../ui/parts";

const SHOWN = [
  ["open", "Open"],
  ["all", "All"],
] as const;

export const SEVERITIES: Record<string, Tone> = {
  critical: "bad",
  error: "bad",
  warning: "warn",
  warn: "warn",
  info: "accent",
};

const readAlerts = () => get<Alert[]>("/api/system/alerts");

/** How many are open, for the navigation. */
export function useOpenAlerts(): number {
  const alerts = useResource("alerts", readAlerts, 10_000);
  return alerts.value?.filter((alert) => !alert.resolved).length ?? 0;
}

export function Alerts() {
  const alerts = useResource("alerts", readAlerts, 5_000);
  const shown = place.value.query.get("show") === "all" ? "all" : "open";
  return (
    <>
      <PageHead title="Alerts">
        <Choice
          label="Which"
          options={SHOWN}
          value={shown}
          onChange={(value) => refine({ show: value === "all" ? "all" : "" })}
        />
      </PageHead>
      <section class="card" aria-label="Alerts">
        <Loaded value={alerts.value} error={alerts.error}>
          {(all) => {
            const found = all.filter((alert) => shown === "all" || !alert.resolved);
            if (!found.length) {
              return (
                <Empty icon="check" title={shown === "all" ? "No alerts" : "No open alerts"}>
                  Nothing asks for your attention.
                </Empty>
              );
            }
            return (
              <ul class="alerts">
                {found.map((alert) => (
                  <AlertRow key={alert.id} alert={alert} />
                ))}
              </ul>
            );
          }}
        </Loaded>
      </section>
    </>
  );
}

function AlertRow({ alert }: { alert: Alert }) {
  const tone = alert.resolved ? "off" : (SEVERITIES[alert.severity] ?? "warn");
  return (
    <li class="alert">
      <State tone={tone}>
        <span class="unseen">{alert.severity}</span>
      </State>
      <div>
        <p>
          <b>{alert.title}</b>{" "}
          {alert.resolved ? <Tag>resolved</Tag> : <Tag tone={tone}>{alert.severity}</Tag>}
        </p>
        <p class="dim">{alert.message}</p>
      </div>
      <p class="faint number" title={dateTime(alert.timestamp)}>
        {alert.source} · {ago(alert.timestamp)}
      </p>
    </li>
  );
}

/** How what is seen comes here, in one word; and a line over everything when it does not. */

import { useEffect, useState } from "preact/hooks";
import { Button, State } from "../ui/parts";
import { Icon } from "../ui/icon";
import { link } from "./link";
import { socketState } from "./streams";

export function Pulse() {
  if (link.state.value === "lost") {
    return (
      <span class="pulse" title="The server does not answer.">
        <State tone="warn">Reconnecting…</State>
      </span>
    );
  }
  const isOpen = socketState.value === "open";
  const how = isOpen ? "Told as it happens." : "Asked for every few seconds.";
  return (
    <span class="pulse" title={how}>
      <State tone={isOpen ? "live" : "ok"}>{isOpen ? "Live" : "Polling"}</State>
    </span>
  );
}

export function LostBanner() {
  const isLost = link.state.value === "lost";
  return (
    <div role="status" aria-live="assertive" class={isLost ? "lost" : undefined}>
      {isLost && (
        <>
          <Icon name="warning" />
          <span>
            The server does not answer. What you see is what was last known. <Countdown />
          </span>
          <Button small onClick={() => link.retryNow()}>
            Try now
          </Button>
        </>
      )}
    </div>
  );
}

function Countdown() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const left = Math.ceil((link.retryAt.value - now) / 1000);
  // Not for a screen reader: it would count aloud.
  return (
    <span class="number" aria-hidden="true">
      {left > 0 ? `Trying again in ${left} s.` : "Trying again…"}
    </span>
  );
}

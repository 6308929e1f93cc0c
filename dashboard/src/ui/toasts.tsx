/** What has just happened, with the way back where there is one. */

import { signal } from "@preact/signals";
import { Button } from "./parts";
import { Icon } from "./icon";

interface Toast {
  id: number;
  text: string;
  tone: "ok" | "bad";
  act?: { label: string; run: () => void };
}

const MOST = 3;
const STAYS_MS = 8_000;
// Long enough to look at the numbers before one goes back.
const STAYS_WITH_ACT_MS = 60_000;

const toasts = signal<readonly Toast[]>([]);
let last = 0;

export function tell(text: string, act?: Toast["act"], tone: Toast["tone"] = "ok"): void {
  const toast: Toast = { id: ++last, text, tone, ...(act && { act }) };
  toasts.value = [...toasts.value, toast].slice(-MOST);
  window.setTimeout(() => dismiss(toast.id), act ? STAYS_WITH_ACT_MS : STAYS_MS);
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, tone, act }) => (
        <div class="toast" key={id}>
          <span class={`tag is-${tone}`}>
            <Icon name={tone === "ok" ? "check" : "alert"} />
          </span>
          <p>{text}</p>
          {act && (
            <Button
              small
              icon="undo"
              onClick={() => {
                dismiss(id);
                act.run();
              }}
            >
              {act.label}
            </Button>
          )}
          <Button small kind="plain" icon="close" label="Dismiss" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}

/** Differences between two configurations, one sentence each. */

import { Icon, type IconName } from "./icon";

type Kind = "added" | "removed" | "changed";

const ICON: Record<Kind, IconName> = { added: "plus", removed: "minus", changed: "edit" };

function kind(text: string): Kind {
  if (/ added\b/.test(text)) return "added";
  return / removed\b/.test(text) ? "removed" : "changed";
}

export function Changes({ changes }: { changes: readonly string[] }) {
  if (!changes.length) return <p class="dim">Nothing is different.</p>;
  return (
    <ul class="changes">
      {changes.map((text) => (
        <li key={text} class={`is-${kind(text)}`}>
          <Icon name={ICON[kind(text)]} />
          <span>{text}</span>
        </li>
      ))}
    </ul>
  );
}

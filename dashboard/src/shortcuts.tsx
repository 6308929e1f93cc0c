/** Keys that lead somewhere: `g` and a view's letter, `/` for the search, `?` for the list. */

import { useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { go } from "./place";
import { nextTheme } from "./theme";
import { Dialog } from "./ui/dialog";

interface Target {
  name: string;
  title: string;
  key: string;
}

// After that long a `g` is forgotten.
const CHORD_MS = 1_200;

export function useShortcuts(views: readonly Target[]): Signal<boolean> {
  const isHelping = useSignal(false);
  useEffect(() => {
    let chordAt = 0;
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]")) return;
      const view = views.find((each) => each.key === event.key);
      if (view && event.timeStamp - chordAt < CHORD_MS) go(view.name);
      else if (event.key === "/") focusSearch(event);
      else if (event.key === "?") isHelping.value = true;
      else if (event.key === "t") nextTheme();
      chordAt = event.key === "g" ? event.timeStamp : -CHORD_MS;
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return isHelping;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function focusSearch(event: KeyboardEvent): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

export function Shortcuts({ views, onClose }: { views: readonly Target[]; onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="facts keys">
        {views.map((view) => (
          <div key={view.name}>
            <dt>
              <kbd>g</kbd> <kbd>{view.key}</kbd>
            </dt>
            <dd>{view.title}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>/</kbd>
          </dt>
          <dd>Search in the view</dd>
        </div>
        <div>
          <dt>
            <kbd>t</kbd>
          </dt>
          <dd>Light, dark, or as the system has it</dd>
        </div>
        <div>
          <dt>
            <kbd>?</kbd>
          </dt>
          <dd>This list</dd>
        </div>
      </dl>
    </Dialog>
  );
}

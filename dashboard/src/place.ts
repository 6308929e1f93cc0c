/** Where in the page one is: `#/routes?search=shop`. */

import { signal } from "@preact/signals";

export interface Place {
  view: string;
  query: URLSearchParams;
}

function read(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { view: path || "overview", query: new URLSearchParams(query) };
}

export const place = signal<Place>(read());
window.addEventListener("hashchange", () => (place.value = read()));

export function go(view: string, query: Record<string, string> = {}): void {
  location.hash = href(view, query);
}

export function href(view: string, query: Record<string, string> = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

/** Change what is asked for in this place, without a new entry in the browser's history. */
export function refine(changes: Record<string, string>): void {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  history.replaceState(null, "", href(place.value.view, Object.fromEntries(query)));
  place.value = read();
}

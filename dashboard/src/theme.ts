/** Light, dark, or as the system has it; remembered by the browser. */

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const KEY = "veloflux-theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(remembered());

/** Grows whenever colours change, for what is drawn and not styled. */
export const colours = signal(0);

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  colours.value = colours.peek() + 1;
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours.value += 1;
});

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // A browser that keeps nothing still shows it.
  }
}

function remembered(): Theme {
  try {
    const kept = localStorage.getItem(KEY) as Theme;
    return ORDER.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}

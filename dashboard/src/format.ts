/** Numbers and times as people read them; what is not known is a dash, never a zero. */

export const UNKNOWN = "—";

type Maybe = number | null | undefined;

const isKnown = (value: Maybe): value is number => typeof value === "number" && isFinite(value);

/** Three digits that mean something: 0.04, 8.3, 412, 1.2k. */
export function amount(value: Maybe): string {
  if (!isKnown(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size >= 1e9) return `${digits(value / 1e9)}G`;
  if (size >= 1e6) return `${digits(value / 1e6)}M`;
  if (size >= 1e4) return `${digits(value / 1e3)}k`;
  if (size >= 1000) return value.toFixed(0);
  return digits(value);
}

function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function count(value: Maybe): string {
  return isKnown(value) ? value.toLocaleString("en-US", { maximumFractionDigits: 0 }) : UNKNOWN;
}

export function percent(value: Maybe): string {
  if (!isKnown(value)) return UNKNOWN;
  if (value === 0) return "0 %";
  if (value < 0.01) return "< 0.01 %";
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)} %`;
}

export function milliseconds(value: Maybe): string {
  if (!isKnown(value)) return UNKNOWN;
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${amount(value)} ms`;
}

export function bytes(value: Maybe): string {
  if (!isKnown(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${digits(value)} ${units[unit]}`;
}

/** `93784.2s` or seconds as `1 d 2 h`. */
export function duration(value: string | number | null | undefined): string {
  if (value === null || value === undefined || value === "") return UNKNOWN;
  const seconds = typeof value === "number" ? value : Number.parseFloat(value);
  if (!isFinite(seconds)) return String(value);
  const parts: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let left = Math.max(0, Math.floor(seconds));
  const said: string[] = [];
  for (const [size, unit] of parts) {
    if (left >= size || (unit === "s" && !said.length)) {
      said.push(`${Math.floor(left / size)} ${unit}`);
      left %= size;
    }
    if (said.length === 2) break;
  }
  return said.join(" ");
}

export function clockTime(value: string | number | Date): string {
  return new Date(value).toLocaleTimeString("en-GB");
}

export function dateTime(value: string | number | Date): string {
  const moment = new Date(value);
  const day = moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return `${day}, ${clockTime(moment)}`;
}

/** How long ago: `just now`, `4 min ago`. */
export function ago(value: string | number | Date | null | undefined, now = Date.now()): string {
  if (value === null || value === undefined || value === "") return UNKNOWN;
  const seconds = (now - new Date(value).getTime()) / 1000;
  if (!isFinite(seconds)) return UNKNOWN;
  if (seconds < 3) return "just now";
  const [first = ""] = duration(seconds).split(/(?<=[a-z]) /);
  return `${first} ago`;
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

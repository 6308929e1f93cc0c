/** One request to the API, and its answer, whatever that is. */

import { link } from "../live/link";
import { UnreachableError } from "./problem";

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface Options {
  body?: unknown;
  query?: Query;
  /** Only if what is changed is still what was seen. */
  etag?: string | null;
}

const DEADLINE_MS = 30_000;

/** Raises `UnreachableError` when no answer comes. */
export async function exchange(
  method: string,
  path: string,
  { body, query, etag }: Options,
  token: string | null,
): Promise<Response> {
  const headers = new Headers({ Accept: "application/json" });
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("Content-Type", "application/json");
  if (etag) headers.set("If-Match", etag);
  let response: Response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      // The cookie of the session goes only where it is asked for.
      credentials: path.startsWith("/api/auth/") ? "same-origin" : "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch {
    link.isLost();
    throw new UnreachableError();
  }
  link.isUp();
  return response;
}

function address(path: string, query: Query = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") asked.set(name, String(value));
  }
  const text = asked.toString();
  return text ? `${path}?${text}` : path;
}

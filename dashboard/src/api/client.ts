/** Calls of the API: JSON there and back, signed in, errors as `Problem` or `UnreachableError`. */

import { exchange, type Options, type Query } from "./exchange";
import { Problem, problemOf } from "./problem";
import { session } from "./session";

// A token that is new and refused again is not helped by another one.
const RENEWALS = 2;

export interface Answer<T> {
  body: T;
  etag: string | null;
}

export async function get<T>(path: string, query?: Query): Promise<T> {
  return (await call<T>("GET", path, query ? { query } : {})).body;
}

/** One call; when the session has ended it waits until somebody has signed in again. */
export async function call<T>(
  method: string,
  path: string,
  options: Options = {},
): Promise<Answer<T>> {
  for (let renewals = 0; ; renewals += 1) {
    const token = await session.access();
    const response = await exchange(method, path, options, token);
    if (response.status === 401 && renewals < RENEWALS) {
      // Nothing was done, so that to ask again with a new token does nothing twice.
      await session.renew(token);
      continue;
    }
    if (!response.ok) throw await problemOf(response);
    const body = response.status === 204 ? null : await response.json();
    return { body: body as T, etag: response.headers.get("ETag") };
  }
}

/** Like `get`, but null where this server has no such thing. */
export async function find<T>(path: string, query?: Query): Promise<T | null> {
  try {
    return await get<T>(path, query);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

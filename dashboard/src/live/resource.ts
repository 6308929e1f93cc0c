/** What is read from the server, kept fresh by asking again. */

import { useSignal, type Signal } from "@preact/signals";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { UnreachableError } from "../api/problem";
import { link } from "./link";

export interface Resource<T> {
  /** The newest answer; undefined while there is none. */
  value: T | undefined;
  error: unknown;
  reload: () => Promise<void>;
}

/**
 * Read with `read` now, whenever `key` changes, and every `everyMs` while the page is seen.
 *
 * An answer stays while the next one is on its way, or does not come.
 */
export function useResource<T>(key: string, read: () => Promise<T>, everyMs = 0): Resource<T> {
  const value: Signal<T | undefined> = useSignal(undefined);
  const error: Signal<unknown> = useSignal(null);
  const latest = useRef(read);
  latest.current = read;
  const current = useRef(key);
  const generation = link.generation.value;

  const reload = useCallback(async () => {
    const asked = current.current;
    try {
      const got = await latest.current();
      if (current.current !== asked) return;
      value.value = got;
      error.value = null;
    } catch (problem) {
      // That the server is away is said in one place, and what was known still stands.
      if (current.current === asked && !(problem instanceof UnreachableError))
        error.value = problem;
    }
  }, []);

  useEffect(() => {
    if (current.current !== key) {
      current.current = key;
      value.value = undefined;
      error.value = null;
    }
    let timer = 0;
    let isOver = false;
    const turn = async () => {
      if (!document.hidden && link.state.value === "up") await reload();
      if (!isOver && everyMs) timer = window.setTimeout(turn, everyMs);
    };
    const seen = () => {
      if (document.hidden || !everyMs) return;
      clearTimeout(timer);
      void turn();
    };
    void turn();
    document.addEventListener("visibilitychange", seen);
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, everyMs, generation]);

  return { value: value.value, error: error.value, reload };
}

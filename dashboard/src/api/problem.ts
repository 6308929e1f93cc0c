/** What the API says in place of an answer (RFC 9457), made for people to read. */

export interface Fault {
  /** Where in what was sent (RFC 6901). */
  pointer: string;
  code: string;
  detail: string;
}

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly faults: readonly Fault[] = [],
    readonly retryAfterS: number | null = null,
    readonly requestId = "",
  ) {
    super(detail);
  }
}

/** No answer came at all. */
export class UnreachableError extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

export async function problemOf(response: Response): Promise<Problem> {
  const told = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("Retry-After"));
  return new Problem(
    response.status,
    told.detail || `The server answered ${response.status} ${response.statusText}.`,
    told.errors ?? [],
    Number.isFinite(wait) && wait > 0 ? wait : null,
    response.headers.get("X-Request-ID") ?? "",
  );
}

/** An error of any kind as a sentence. */
export function sentence(error: unknown): string {
  if (error instanceof Problem) {
    if (error.status === 403) return `You may not do this. ${error.detail}`;
    return error.detail;
  }
  return error instanceof Error ? error.message : String(error);
}

/** What `/api/explain` answers. */

export interface Step {
  stage: string;
  verdict: "passes" | "answers" | "refuses" | "applies" | "skips" | "not_asked";
  detail: string;
}

/** How one backend stands; `why_not` is empty for one that could be picked. */
export interface Standing {
  backend: string;
  why_not: string;
  weight: number;
  load: number;
  score: number | null;
}

export interface Explanation {
  request: { method: string; host: string; path: string } | null;
  listener: string;
  client_ip: string;
  route: string | null;
  routes: { route: string; why_not: string; header: string }[];
  routes_complete: boolean;
  steps: Step[];
  pools: { pool: string; weight: number }[];
  pool: string | null;
  backend: string | null;
  pick_reason: string;
  backends: Standing[];
  answer: { status: number; error: string; detail: string; lines: string[] } | null;
}

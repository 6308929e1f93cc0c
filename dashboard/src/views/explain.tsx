/** Where would this request go, and why? Drawn step by step; nothing is sent. */

import { useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { get } from "../api/client";
import type { Explanation, Standing, Step } from "../api/explanation";
import { amount } from "../format";
import { place, refine } from "../place";
import { Icon } from "../ui/icon";
import { Button, Notice, PageHead, Tag, type Tone, Wrong } from "../ui/parts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
// Routes with other paths or hosts that are named; of the rest there are only so many.
const NAMED = 6;

export function Explain() {
  const asked = place.value.query;
  const [method, setMethod] = useState(asked.get("method") ?? "GET");
  const [host, setHost] = useState(asked.get("host") ?? "");
  const [path, setPath] = useState(asked.get("path") ?? "/");
  const [client, setClient] = useState(asked.get("client_ip") ?? "");
  const [found, setFound] = useState<Explanation | null>(null);
  const [error, setError] = useState<unknown>(null);

  async function submit() {
    const query = { method, host: host.trim(), path: path.trim(), client_ip: client.trim() };
    refine(query);
    try {
      setFound(await get<Explanation>("/api/explain", query));
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  }

  // Who comes by a link has asked already.
  useEffect(() => void (host && submit()), []);

  return (
    <>
      <PageHead
        title="Explain"
        about="Where a request would go at this moment, and why. Nothing is sent or counted."
      />
      <form
        class="card ask"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <label>
          Method
          <select
            class="input"
            value={method}
            onChange={(event) => setMethod(event.currentTarget.value)}
          >
            {METHODS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          Host
          <input
            class="input mono"
            data-search
            required
            placeholder="example.org"
            spellcheck={false}
            value={host}
            onInput={(event) => setHost(event.currentTarget.value)}
          />
        </label>
        <label class="ask-path">
          Path
          <input
            class="input mono"
            required
            spellcheck={false}
            value={path}
            onInput={(event) => setPath(event.currentTarget.value)}
          />
        </label>
        <label>
          Client
          <input
            class="input mono"
            placeholder="127.0.0.1"
            spellcheck={false}
            value={client}
            onInput={(event) => setClient(event.currentTarget.value)}
          />
        </label>
        <Button kind="main" type="submit">
          Explain
        </Button>
      </form>
      {error ? <Wrong error={error} /> : null}
      {found && <Account found={found} />}
    </>
  );
}

function Account({ found }: { found: Explanation }) {
  const { request, route, answer } = found;
  return (
    <ol class="card way" aria-label="The way of the request">
      <Stop title="Request" tone="accent">
        {request && (
          <p>
            <code>
              {request.method} {request.path}
            </code>{" "}
            of host <code>{request.host}</code>
          </p>
        )}
        <p class="dim">
          from <code>{found.client_ip}</code> at listener <code>{found.listener}</code>
        </p>
      </Stop>
      {(route !== null || found.routes.length > 0) && (
        <Stop title="Route" said={route ?? "none takes it"} tone={route === null ? "bad" : "ok"}>
          <Others found={found} />
        </Stop>
      )}
      {found.steps.map((step) => (
        <Policy key={step.stage} step={step} />
      ))}
      {found.pool && (
        <Stop title="Pool" said={found.pool} tone="ok">
          <Shares found={found} />
        </Stop>
      )}
      {found.backends.length > 0 && (
        <Stop
          title="Backend"
          said={found.backend ?? "none can take it now"}
          tone={found.backend ? "ok" : "bad"}
        >
          {found.pick_reason && <p class="dim">chosen by {words(found.pick_reason)}</p>}
          <Candidates found={found} />
        </Stop>
      )}
      {answer && (
        <Stop
          title="Answer"
          said={answer.status ? String(answer.status) : "the connection is closed"}
          tone={answer.status >= 400 || !answer.status ? "bad" : "ok"}
        >
          <p class="dim">{answer.detail}</p>
          {answer.lines.map((line) => (
            <p key={line}>
              <code>{line}</code>
            </p>
          ))}
        </Stop>
      )}
    </ol>
  );
}

function Stop(props: { title: string; said?: string; tone: Tone; children?: ComponentChildren }) {
  return (
    <li class={`stop is-${props.tone}`}>
      <i class="dot" />
      <div>
        <h2>
          <span>{props.title}</span>
          {props.said && <b class="mono">{props.said}</b>}
        </h2>
        {props.children}
      </div>
    </li>
  );
}

const VERDICTS: Record<Step["verdict"], Tone> = {
  passes: "ok",
  applies: "accent",
  answers: "warn",
  refuses: "bad",
  skips: "off",
  not_asked: "off",
};

function Policy({ step }: { step: Step }) {
  const tone = VERDICTS[step.verdict] ?? "off";
  return (
    <li class={`stop is-small is-${tone}`}>
      <i class="dot" />
      <div>
        <h3>
          <span>{words(step.stage)}</span>
          <Tag tone={tone === "off" ? "" : tone}>{words(step.verdict)}</Tag>
          {step.detail && <span class="dim">{step.detail}</span>}
        </h3>
      </div>
    </li>
  );
}

const WHY_NOT: Record<string, string> = {
  less_specific: "matches too, but is less specific or comes later",
  method: "has other methods",
  prefix: "has another path",
  host: "has another host",
  disabled: "is disabled",
  no_weight: "has weight 0",
  backup: "is a backup, and others can be used",
};

function whyNot({ why_not, header = "" }: { why_not: string; header?: string }): string {
  if (why_not === "header") return `asks for another value of ${header}`;
  return WHY_NOT[why_not] ?? words(why_not);
}

function Others({ found }: { found: Explanation }) {
  const others = found.routes.filter((each) => each.why_not);
  if (!others.length) return null;
  const left = others.length - NAMED;
  return (
    <ul class="others">
      {others.slice(0, NAMED).map((each) => (
        <li key={each.route}>
          <span class="faint">not</span> <code>{each.route}</code>{" "}
          <span class="dim">{whyNot(each)}</span>
        </li>
      ))}
      {(left > 0 || !found.routes_complete) && (
        <li class="faint">{found.routes_complete ? `and ${left} more` : "and many more"}</li>
      )}
    </ul>
  );
}

function Shares({ found }: { found: Explanation }) {
  if (found.pools.length < 2) return null;
  const total = found.pools.reduce((sum, each) => sum + each.weight, 0);
  return (
    <p class="dim">
      drawn from{" "}
      {found.pools
        .map(({ pool, weight }) => `${pool} ${amount((100 * weight) / total)} %`)
        .join(", ")}
    </p>
  );
}

function Candidates({ found }: { found: Explanation }) {
  return (
    <div class="wide">
      <table class="table candidates number">
        <thead>
          <tr>
            <th>Candidate</th>
            <th class="right">Weight</th>
            <th class="right">Load</th>
            <th class="right">Score</th>
            <th>Why not</th>
          </tr>
        </thead>
        <tbody>
          {found.backends.map((each: Standing) => (
            <tr key={each.backend} class={each.backend === found.backend ? "is-picked" : undefined}>
              <td>
                <code>{each.backend}</code>
                {each.backend === found.backend && (
                  <span class="picked">
                    <Icon name="check" />
                    <span class="unseen">picked</span>
                  </span>
                )}
              </td>
              <td class="right">{each.weight}</td>
              <td class="right">{each.load}</td>
              <td class="right">{amount(each.score)}</td>
              <td class="dim">{each.why_not ? whyNot(each) : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {!found.backends.some((each) => !each.why_not) && (
        <Notice tone="warn">No backend of this pool can be used at this moment.</Notice>
      )}
    </div>
  );
}

function words(name: string): string {
  return name.replaceAll("_", " ");
}

/**
 * A change of the configuration, seen before it is made.
 *
 * Every change goes this way: its difference is asked for and shown, then it is applied, and can be
 * taken back.
 */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/client";
import { sentence } from "../api/problem";
import { backends, status } from "../live/channels";
import { Changes } from "../ui/changes";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/field";
import { Button, Loaded, Wrong } from "../ui/parts";
import { tell } from "../ui/toasts";

export interface Change {
  method: "POST" | "PUT" | "DELETE";
  path: string;
  body?: object;
  /** What to say of it when it is made. */
  said: string;
  /** Whether the reason goes with the body, and not beside it. */
  hasReason?: boolean;
  /** The body that shows its difference, where that is another one. */
  preview?: object;
}

/** Grows with every change made here, for views to look again. */
export const changed = signal(0);

/** The statements of a difference; null where the API has none for this. */
type Difference = readonly string[] | null;

export async function preview(change: Change): Promise<Difference> {
  const { method, path, body } = change;
  const answer = await call<{ changes: string[] } | null>(method, path, {
    body: change.preview ?? body,
    query: { dry_run: true },
  });
  return answer.body?.changes ?? null;
}

/** Make the change, say so, and offer the way back. */
async function apply(change: Change, reason: string): Promise<void> {
  const { method, path, said, hasReason } = change;
  const body = hasReason ? { ...change.body, reason } : change.body;
  const before = status.value.value?.config_revision;
  await call(method, path, { body, ...(!hasReason && { query: { reason } }) });
  await Promise.all([status.refresh(), backends.refresh()]);
  changed.value += 1;
  const after = status.value.value?.config_revision;
  if (before === undefined || after === undefined || after === before) tell(said);
  else
    tell(`${said} Revision ${after}.`, { label: "Roll back", run: () => rollBack(before, after) });
}

/** Go back to a revision, if nobody has changed anything since. */
async function rollBack(to: number, from: number): Promise<void> {
  try {
    await status.refresh();
    const current = status.value.value?.config_revision;
    if (current !== from) {
      throw new Error(`Meanwhile there is revision ${current}; see Configuration.`);
    }
    await apply(rollback(to), "");
  } catch (error) {
    tell(sentence(error), undefined, "bad");
  }
}

export function rollback(revision: number): Change {
  return {
    method: "POST",
    path: "/api/config/rollback",
    body: { revision },
    hasReason: true,
    said: `Back to what revision ${revision} had.`,
  };
}

interface ConfirmProps {
  title: string;
  change: Change;
  verb: string;
  isGrave?: boolean;
  /** What its difference is; by default a dry run says. */
  difference?: () => Promise<Difference>;
  children?: ComponentChildren;
  onClose: () => void;
}

/** The difference, and the question whether to make it. */
export function Confirm(props: ConfirmProps) {
  const { change, difference = () => preview(change) } = props;
  const [changes, setChanges] = useState<Difference | undefined>(undefined);
  const [error, setError] = useState<unknown>(null);
  const [reason, setReason] = useState("");
  const [isBusy, setBusy] = useState(false);
  useEffect(() => void difference().then(setChanges, setError), []);

  async function submit() {
    if (changes === undefined || isBusy) return;
    setBusy(true);
    try {
      await apply(change, reason);
      props.onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  }

  return (
    <Dialog
      title={props.title}
      onClose={props.onClose}
      onSubmit={submit}
      foot={
        <>
          <Button onClick={props.onClose}>Cancel</Button>
          <Button
            kind={props.isGrave ? "grave" : "main"}
            type="submit"
            disabled={changes === undefined || changes?.length === 0 || isBusy}
          >
            {isBusy ? "Applying…" : props.verb}
          </Button>
        </>
      }
    >
      {props.children}
      <Wrong error={changes === undefined ? null : error} />
      <Loaded value={changes} error={error}>
        {(found) => <Proposed changes={found} reason={reason} onReason={setReason} />}
      </Loaded>
    </Dialog>
  );
}

interface EditProps {
  title: string;
  /** What the fields say, as a change; raises a sentence when they say nothing. */
  change: () => Change;
  /** Pointers that a field of the form shows the errors of. */
  shown: readonly string[];
  /** The fields, with the refusal of what was in them. */
  children: (error: unknown) => ComponentChildren;
  onClose: () => void;
}

/** A form whose change is shown before it is made. */
export function Edit(props: EditProps) {
  const [proposed, setProposed] = useState<{ change: Change; changes: Difference } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [reason, setReason] = useState("");
  const [isBusy, setBusy] = useState(false);

  async function submit() {
    if (isBusy) return;
    setBusy(true);
    setError(null);
    try {
      if (proposed) {
        await apply(proposed.change, reason);
        props.onClose();
        return;
      }
      const change = props.change();
      setProposed({ change, changes: await preview(change) });
    } catch (problem) {
      setProposed(null);
      setError(problem);
    }
    setBusy(false);
  }

  return (
    <Dialog
      title={props.title}
      onClose={props.onClose}
      onSubmit={submit}
      foot={
        <>
          <Button onClick={proposed ? () => setProposed(null) : props.onClose}>
            {proposed ? "Back" : "Cancel"}
          </Button>
          <Button kind="main" type="submit" disabled={isBusy || proposed?.changes?.length === 0}>
            {proposed ? "Apply" : "Review"}
          </Button>
        </>
      }
    >
      <Wrong error={error} shown={props.shown} />
      <div hidden={proposed !== null}>{props.children(error)}</div>
      {proposed && <Proposed changes={proposed.changes} reason={reason} onReason={setReason} />}
    </Dialog>
  );
}

function Proposed(props: {
  changes: Difference;
  reason: string;
  onReason: (reason: string) => void;
}) {
  if (props.changes?.length === 0) return <p class="dim">Nothing would be different.</p>;
  return (
    <>
      {props.changes && <Changes changes={props.changes} />}
      <Field label="Reason" hint="Kept with the revision; may be left out">
        <input
          class="input"
          maxLength={500}
          value={props.reason}
          onInput={(event) => props.onReason(event.currentTarget.value)}
        />
      </Field>
    </>
  );
}

/** A labelled field, and what is wrong with what is in it. */

import { cloneElement, type VNode } from "preact";
import { useId } from "preact/hooks";
import { Problem } from "../api/problem";

interface FieldProps {
  label: string;
  hint?: string;
  /** Over the whole width of a form. */
  all?: boolean;
  /** The refusal of what was sent, and where in it this field is (RFC 6901). */
  error?: unknown;
  pointer?: string;
  children: VNode<Record<string, unknown>>;
}

export function Field({ label, hint, all, error, pointer, children }: FieldProps) {
  const id = useId();
  const faults = error instanceof Problem && pointer ? error.faults : [];
  const wrong = faults.filter(({ pointer: at }) => at === pointer || at.startsWith(`${pointer}/`));
  return (
    <div class={all ? "field all" : "field"}>
      <label for={id}>{label}</label>
      {cloneElement(children, {
        id,
        "aria-invalid": wrong.length > 0,
        "aria-describedby": `${id}-more`,
      })}
      <div id={`${id}-more`}>
        {wrong.map((fault) => (
          <p class="wrong" key={fault.detail}>
            {fault.detail}
          </p>
        ))}
        {hint && !wrong.length && <p class="hint">{hint}</p>}
      </div>
    </div>
  );
}

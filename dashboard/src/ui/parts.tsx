/** The small parts that every view is made of. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Problem, sentence } from "../api/problem";
import { Icon, type IconName } from "./icon";

export type Tone = "ok" | "warn" | "bad" | "off" | "live" | "accent" | "";

interface ButtonProps {
  children?: ComponentChildren;
  icon?: IconName;
  /** What it does, where no text says so. */
  label?: string;
  kind?: "main" | "grave" | "plain";
  small?: boolean;
  type?: "button" | "submit";
  disabled?: boolean;
  expanded?: boolean;
  onClick?: (event: MouseEvent) => void;
}

export function Button(props: ButtonProps) {
  const { children, icon, label, kind, small, type = "button", disabled, expanded } = props;
  const classes = ["button"];
  if (kind) classes.push(`is-${kind}`);
  if (small) classes.push("is-small");
  if (!children) classes.push("is-square");
  return (
    <button
      class={classes.join(" ")}
      type={type}
      disabled={disabled}
      aria-label={label}
      title={children ? undefined : label}
      aria-expanded={expanded}
      onClick={props.onClick}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

export function PageHead(props: {
  title: string;
  about?: ComponentChildren;
  children?: ComponentChildren;
}) {
  return (
    <header class="page-head">
      <h1 tabIndex={-1}>{props.title}</h1>
      {props.children && <div class="tools">{props.children}</div>}
      {props.about && <p class="about">{props.about}</p>}
    </header>
  );
}

export function State({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <span class={`state is-${tone}`}>
      <i class="dot" />
      {children}
    </span>
  );
}

export function Tag({ tone = "", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`tag is-${tone}`}>{children}</span>;
}

export function Choice<T extends string>(props: {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** The field that `/` goes to. */
export function SearchField(props: {
  label: string;
  value: string;
  onInput: (value: string) => void;
}) {
  const field = useRef<HTMLInputElement>(null);
  return (
    <div class="search">
      <Icon name="search" />
      <input
        ref={field}
        class="input"
        type="search"
        data-search
        aria-label={props.label}
        placeholder={props.label}
        value={props.value}
        onInput={(event) => props.onInput(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") field.current?.blur();
        }}
      />
    </div>
  );
}

export function Empty(props: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={props.icon} />
      <b>{props.title}</b>
      {props.children && <p>{props.children}</p>}
    </div>
  );
}

export function Waiting() {
  return (
    <div class="waiting" role="status" aria-label="Loading">
      <i />
      <i />
      <i />
    </div>
  );
}

export function Notice(props: { tone?: Tone; icon?: IconName; children: ComponentChildren }) {
  const { tone = "", icon = tone === "ok" ? "check" : tone ? "alert" : "note" } = props;
  return (
    <div class={`notice is-${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon name={icon} />
      <div>{props.children}</div>
    </div>
  );
}

/** What went wrong, in the API's own words; with those fields named that no field below shows. */
export function Wrong({ error, shown = [] }: { error: unknown; shown?: readonly string[] }) {
  if (!error) return null;
  const faults = error instanceof Problem ? error.faults : [];
  const rest = faults.filter((fault) => !shown.includes(fault.pointer));
  return (
    <Notice tone="bad">
      {sentence(error)}
      {rest.length > 0 && (
        <ul>
          {rest.map((fault) => (
            <li key={fault.pointer}>
              {fault.pointer && <code>{fault.pointer.slice(1).replaceAll("/", ".")}</code>}{" "}
              {fault.detail}
            </li>
          ))}
        </ul>
      )}
    </Notice>
  );
}

/** A value that is there, an error, or the wait for either. */
export function Loaded<T>(props: {
  value: T | undefined;
  error: unknown;
  children: (value: T) => ComponentChildren;
}) {
  if (props.value !== undefined) return <>{props.children(props.value)}</>;
  if (props.error) {
    return (
      <div class="card-body">
        <Wrong error={props.error} />
      </div>
    );
  }
  return <Waiting />;
}

/** Scrolls to its end whenever `mark` changes. */
export function useEndInSight<T extends HTMLElement>(mark: unknown, is: boolean) {
  const box = useRef<T>(null);
  useEffect(() => {
    if (is && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [mark, is]);
  return box;
}

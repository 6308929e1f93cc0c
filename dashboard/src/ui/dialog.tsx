/** A modal dialog; the browser keeps the focus inside, and it goes back to where it was. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button } from "./parts";

interface DialogProps {
  title: string;
  /** Also for Escape; without it the dialog stays. */
  onClose?: () => void;
  onSubmit?: () => void;
  children: ComponentChildren;
  foot?: ComponentChildren;
}

export function Dialog({ title, onClose, onSubmit, children, foot }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const opened = box.current;
    const before = document.activeElement;
    opened?.showModal();
    // Otherwise it would be the first button, which closes it.
    if (!opened?.querySelector("[autofocus]")) opened?.focus();
    return () => {
      opened?.close();
      // The browser gives it back only to who closes what is still in the page.
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={box}
      tabIndex={-1}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      onMouseDown={(event) => {
        if (event.target === box.current) onClose?.();
      }}
    >
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit?.();
        }}
      >
        <header class="dialog-head">
          <h2 id={id}>{title}</h2>
          {onClose && <Button kind="plain" small icon="close" label="Close" onClick={onClose} />}
        </header>
        <div class="dialog-body">{children}</div>
        {foot && <footer class="dialog-foot">{foot}</footer>}
      </form>
    </dialog>
  );
}

/** A button that opens a small sheet below itself: closed by Escape, a click elsewhere, or the focus leaving it. */
import { type FocusEvent, type KeyboardEvent, type ReactNode, useId, useRef, useState } from "react";

export function Menu({ label, children }: { label: string; children: (close: () => void) => ReactNode }) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      close();
    }
  };
  const onBlur = (event: FocusEvent) => {
    if (event.relatedTarget && !root.current?.contains(event.relatedTarget)) setOpen(false);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape and blur of what is inside bubble to here
    <div className="menu" ref={root} onKeyDown={onKey} onBlur={onBlur}>
      <button ref={button} type="button" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        {label}
        <span aria-hidden="true"> ▾</span>
      </button>
      <div id={id} className="sheet" hidden={!open} role="group" aria-label={label}>
        {open ? children(close) : null}
      </div>
    </div>
  );
}

/** From anywidget's life cycle to React: one channel per model, one root per view, styles once per page. */
import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Channel, type Model } from "./model";
import themeCss from "./theme.css";

export interface Context {
  model: Model;
  channel: Channel;
}

function addStyles(root: Document | ShadowRoot, name: string, css: string): void {
  const host = root instanceof Document ? root.head : root;
  const known = host.querySelector(`style[data-mlkit="${name}"]`);
  if (known?.textContent === css) return; // two versions of mlkit in one page: the newer cell wins
  known?.remove();
  const style = document.createElement("style");
  style.dataset.mlkit = name;
  style.textContent = css;
  host.append(style);
}

/**
 * Keep keys pressed inside a widget from also being notebook commands: with a button focused, "b" would add a cell.
 * JupyterLab looks for this attribute on the focused element itself.
 */
function keepKeys(host: HTMLElement): void {
  host.tabIndex = -1;
  host.addEventListener("focusin", (event) => {
    (event.target as Element).setAttribute("data-lm-suppress-shortcuts", "true");
  });
  host.addEventListener("pointerdown", (event) => {
    // A click beside the controls belongs to the widget, not to the cell around it.
    const target = event.target as Element;
    if (!target.closest("a,button,input,select,textarea,[tabindex]:not([tabindex='-1'])")) {
      host.focus({ preventScroll: true });
    }
  });
}

/** The bubbling event by which a view tells the page around it that it lives, or that its picture has changed. */
export function announce(element: HTMLElement, picture?: string): void {
  element.dispatchEvent(new CustomEvent("mlkit:view", { bubbles: true, detail: { picture: picture || null } }));
}

/**
 * The default export of a widget's module. `open` makes whatever state all views of a model share, `view` draws it.
 */
export function define<Shared>(
  name: string,
  css: string,
  open: (context: Context) => Shared,
  view: (shared: Shared, context: Context) => ReactNode,
  close?: (shared: Shared) => void,
) {
  return () => {
    let context: Context | undefined;
    let shared: Shared | undefined;
    return {
      initialize({ model }: { model: Model }) {
        context = { model, channel: new Channel(model) };
        shared = open(context);
        return () => {
          if (shared !== undefined) close?.(shared);
          context?.channel.close();
        };
      },
      render({ model, el }: { model: Model; el: HTMLElement }) {
        const own: Context = { model, channel: context!.channel };
        addStyles(document, "theme", themeCss);
        addStyles(document, name, css);
        const host = document.createElement("div");
        host.className = "mlkit-host";
        keepKeys(host);
        el.append(host);
        const root = createRoot(host);
        root.render(<StrictMode>{view(shared as Shared, own)}</StrictMode>);
        const renew = () => announce(host, model.get("_picture") as string);
        model.on("change:_picture", renew as never);
        // The view is not in the page yet when render is called.
        const frame = requestAnimationFrame(renew);
        return () => {
          cancelAnimationFrame(frame);
          model.off("change:_picture", renew as never);
          root.unmount();
        };
      },
    };
  };
}

/** Light or dark, as the page around us is: JupyterLab, Voila, VS Code, or the browser's own preference. */
import { useEffect, useState } from "react";

export type Theme = "light" | "dark";

export function currentTheme(body: HTMLElement = document.body): Theme {
  const lab = body.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false" ? "dark" : "light";
  if (body.classList.contains("theme-dark") || body.classList.contains("vscode-dark")) return "dark";
  if (body.classList.contains("theme-light") || body.classList.contains("vscode-light")) return "light";
  return window.matchMedia?.("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export function watchTheme(callback: (theme: Theme) => void): () => void {
  let last = currentTheme();
  const check = () => {
    const now = currentTheme();
    if (now === last) return;
    last = now;
    callback(now);
  };
  const observer = new MutationObserver(check);
  observer.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light"] });
  const media = window.matchMedia?.("(prefers-color-scheme: dark)");
  media?.addEventListener("change", check);
  return () => {
    observer.disconnect();
    media?.removeEventListener("change", check);
  };
}

export function useTheme(): Theme {
  const [theme, setTheme] = useState(currentTheme);
  useEffect(() => {
    setTheme(currentTheme()); // it may have changed between drawing and watching
    return watchTheme(setTheme);
  }, []);
  return theme;
}

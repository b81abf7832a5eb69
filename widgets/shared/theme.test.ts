import { afterEach, expect, test } from "vitest";
import { currentTheme, watchTheme } from "./theme";

afterEach(() => {
  delete document.body.dataset.jpThemeLight;
  document.body.className = "";
});

test("JupyterLab's word counts first, then the class a page carries", () => {
  document.body.className = "theme-light";
  expect(currentTheme()).toBe("light");
  document.body.dataset.jpThemeLight = "false";
  expect(currentTheme()).toBe("dark");
  delete document.body.dataset.jpThemeLight;
  document.body.className = "vscode-dark";
  expect(currentTheme()).toBe("dark");
});

test("a change is told once, and not after the watch has ended", async () => {
  const told: string[] = [];
  document.body.dataset.jpThemeLight = "true";
  const stop = watchTheme((theme) => told.push(theme));
  document.body.dataset.jpThemeLight = "false";
  await new Promise((resolve) => setTimeout(resolve, 10));
  document.body.className = "something else";
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(told).toEqual(["dark"]);
  stop();
  document.body.dataset.jpThemeLight = "true";
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(told).toEqual(["dark"]);
});

import { expect, test } from "vitest";
import { bytes, duration, number, plural } from "./format";

test("numbers are short and never lie about their size", () => {
  expect([0, 0.25, 0.0003, 5.4321, 1234.5, 2.5e7, Number.NaN, null].map((value) => number(value))).toEqual([
    "0",
    "0.25",
    "3e-4",
    "5.432",
    "1,235",
    "2.5e7",
    "NaN",
    "",
  ]);
});

test("sizes, times and plurals", () => {
  expect([0, 999, 1500, 182_400_000].map(bytes)).toEqual(["0 B", "999 B", "1.5 kB", "182 MB"]);
  expect([0, 59.4, 60, 3723].map(duration)).toEqual(["0 s", "59 s", "1:00", "1:02:03"]);
  expect([plural(1, "step"), plural(2000, "step"), plural(2, "match", "matches")]).toEqual([
    "1 step",
    "2,000 steps",
    "2 matches",
  ]);
});

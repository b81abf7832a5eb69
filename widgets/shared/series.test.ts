import { expect, test } from "vitest";
import { nearest } from "./series";

test("the nearest point", () => {
  const x = Float64Array.from([0, 10, 20, 40]);
  expect([-5, 4, 6, 29, 31, 99].map((at) => nearest(x, at))).toEqual([0, 0, 1, 2, 3, 3]);
  expect(nearest(new Float64Array(0), 1)).toBe(-1);
});

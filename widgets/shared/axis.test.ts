import { expect, test } from "vitest";
import { share, ticks, valueAt } from "./axis";

test("a value and its place are each other's inverse, straight and logarithmic", () => {
  for (const axis of [
    { low: -3, high: 7, log: false },
    { low: 0.01, high: 500, log: true },
  ]) {
    for (const part of [0, 0.2, 0.5, 1]) expect(share(axis, valueAt(axis, part))).toBeCloseTo(part, 12);
  }
  expect(share({ low: 1, high: 10, log: true }, -1)).toBeNaN();
});

test("ticks are round, rising, inside the ends and about as many as asked for", () => {
  expect(ticks({ low: 0, high: 2.3, log: false }, 4)).toEqual([0, 1, 2]);
  expect(ticks({ low: 0.001, high: 1000, log: true }, 8)).toEqual([0.001, 0.01, 0.1, 1, 10, 100, 1000]);
  expect(ticks({ low: 0.2, high: 3, log: true }, 6)).toEqual([0.2, 0.5, 1, 2]);
  expect(ticks({ low: 5, high: 5, log: false }, 4)).toEqual([5]);
  for (let i = 0; i < 500; i++) {
    const low = (Math.sin(i) * 10 ** (i % 7)) / 1000;
    const high = low + 10 ** ((i % 11) - 5);
    const found = ticks({ low, high, log: false }, 5);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(7);
    for (const [at, tick] of found.entries()) {
      expect(tick).toBeGreaterThanOrEqual(low - 1e-6 * Math.abs(low));
      if (at) expect(tick).toBeGreaterThan(found[at - 1]!);
    }
  }
});

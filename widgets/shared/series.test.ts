import { expect, test } from "vitest";
import { nearest, Series, thin } from "./series";

const piece = (start: number, values: number[]) => ({
  start,
  steps: values.map((_, index) => start + index),
  times: values.map((_, index) => (start + index) / 10),
  values,
});

test("pieces that overlap, repeat or come too early leave the same curve", () => {
  const series = new Series();
  expect(series.append(piece(0, [1, 2, 3]))).toBe(true);
  expect(series.append(piece(1, [2, 3, 4]))).toBe(true);
  expect(series.append(piece(0, [1, 2]))).toBe(true);
  expect(series.append(piece(6, [7]))).toBe(false);
  expect([...series.value()]).toEqual([1, 2, 3, 4]);
  expect([...series.step()]).toEqual([0, 1, 2, 3]);
});

test("it grows past its first capacity", () => {
  const series = new Series();
  for (let start = 0; start < 5000; start += 50) series.append(piece(start, Array(50).fill(start)));
  expect(series.count).toBe(5000);
  expect(series.value()[4999]).toBe(4950);
});

test("smoothing is the same whether points come at once or one by one, and starts at the first value", () => {
  const values = Array.from({ length: 400 }, (_, i) => Math.sin(i) + i / 50);
  const whole = new Series();
  whole.append(piece(0, values));
  const slowly = new Series();
  for (let i = 0; i < values.length; i++) {
    slowly.append(piece(i, [values[i]!]));
    slowly.smoothed(0.9);
  }
  expect([...slowly.smoothed(0.9)]).toEqual([...whole.smoothed(0.9)]);
  expect(whole.smoothed(0.9)[0]).toBeCloseTo(values[0]!, 12);
  expect([...whole.smoothed(0)]).toEqual(values);
});

test("NaN does not spoil what comes after it", () => {
  const series = new Series();
  series.append(piece(0, [1, Number.NaN, 1]));
  expect([...series.smoothed(0.5)]).toEqual([1, 1, 1]);
});

test("thinning keeps the ends and every peak", () => {
  const values = Float64Array.from({ length: 100_000 }, (_, i) => Math.sin(i / 500));
  values[31_417] = 9;
  values[70_001] = -9;
  const kept = thin(values, 400)!;
  expect(kept.length).toBeLessThanOrEqual(402);
  expect([...kept]).toEqual([...kept].sort((a, b) => a - b));
  expect(kept[0]).toBe(0);
  expect(kept[kept.length - 1]).toBe(99_999);
  expect([...kept]).toEqual(expect.arrayContaining([31_417, 70_001]));
  expect(thin(values.subarray(0, 10), 400)).toBeNull();
});

test("the nearest point", () => {
  const x = Float64Array.from([0, 10, 20, 40]);
  expect([-5, 4, 6, 29, 31, 99].map((at) => nearest(x, at))).toEqual([0, 0, 1, 2, 3, 3]);
  expect(nearest(new Float64Array(0), 1)).toBe(-1);
});

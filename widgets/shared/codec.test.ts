import { expect, test } from "vitest";
import { half, type NdArray, pack, unpack } from "./codec";
import fixture from "./codec.fixture.json";

const bytesOf = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** A view at an odd offset, as buffers of a websocket message are. */
const misaligned = (bytes: Uint8Array): DataView => {
  const room = new Uint8Array(bytes.length + 3);
  room.set(bytes, 3);
  return new DataView(room.buffer, 3, bytes.length);
};

test("every array that Python packs is read with its values and shape", () => {
  const message = unpack(
    fixture.tree,
    fixture.buffers.map((text) => misaligned(bytesOf(text))),
  ) as { arrays: Record<string, NdArray>; list: unknown[] };
  expect(message.list).toEqual([1, null, "ä <&>"]);
  for (const [name, values] of Object.entries(fixture.values as Record<string, (number | string)[]>)) {
    const { data, shape } = message.arrays[name]!;
    expect(
      shape.reduce((product, size) => product * size, 1),
      name,
    ).toBe(data.length);
    const read = Array.from(data as Iterable<number | bigint>, (value) =>
      typeof value === "bigint" || !Number.isFinite(value) ? String(value) : value,
    );
    expect(read, name).toEqual(values);
  }
});

test("what is packed here is unpacked the same", () => {
  const array: NdArray = { data: new Float32Array([0, 1, 2, 3]).subarray(1), dtype: "float32", shape: [3] };
  const [tree, buffers] = pack({ kind: "x", deep: [{ array }], text: "y" });
  expect(unpack(tree, buffers)).toEqual({
    kind: "x",
    deep: [{ array: { ...array, data: new Float32Array([1, 2, 3]) } }],
    text: "y",
  });
});

test("a buffer of the wrong length, a missing one and an unknown dtype are refused in words", () => {
  const eight = new DataView(new ArrayBuffer(8));
  expect(() => unpack({ $array: 0, dtype: "float64", shape: [2] }, [eight])).toThrow("has 16 bytes; 8 came");
  expect(() => unpack({ $array: 1, dtype: "float64", shape: [1] }, [eight])).toThrow("carries 1");
  expect(() => unpack({ $array: 0, dtype: "object", shape: [1] }, [eight])).toThrow("object");
});

test("half precision: one, the smallest, the largest, infinity and NaN", () => {
  expect([0x3c00, 0x0001, 0x7bff, 0xfc00].map(half)).toEqual([1, 2 ** -24, 65504, Number.NEGATIVE_INFINITY]);
  expect(half(0x7e00)).toBeNaN();
});

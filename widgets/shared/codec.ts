/** Arrays between kernel and browser: one half of a format, the other half is `mlkit_widgets/_codec.py`. */

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/** An array as it travels: numbers in C order, and its shape. */
export interface NdArray {
  data: TypedArray;
  dtype: string;
  shape: number[];
}

type Construct = { new (buffer: ArrayBuffer): TypedArray; BYTES_PER_ELEMENT: number };

const CONSTRUCT: Record<string, Construct> = {
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
};

const isArray = (value: unknown): value is NdArray =>
  typeof value === "object" && value !== null && ArrayBuffer.isView((value as NdArray).data) && "dtype" in value;

/** The value of a half-precision number's 16 bits. */
export function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function readArray(reference: Record<string, unknown>, buffers: readonly (DataView | ArrayBuffer)[]): NdArray {
  const { $array: index, dtype, shape } = reference as { $array: number; dtype: string; shape: number[] };
  const construct = CONSTRUCT[dtype];
  if (!construct) throw new Error(`a message names the dtype ${JSON.stringify(dtype)}, which has no reading here`);
  const buffer = buffers[index];
  if (!buffer) throw new Error(`a message names buffer ${index} but carries ${buffers.length}`);
  const view = buffer instanceof ArrayBuffer ? new DataView(buffer) : buffer;
  const expected = shape.reduce((product, size) => product * size, 1) * construct.BYTES_PER_ELEMENT;
  if (view.byteLength !== expected) {
    throw new Error(`an array of shape (${shape}) and dtype ${dtype} has ${expected} bytes; ${view.byteLength} came`);
  }
  // A copy: the view's offset need not be a multiple of the element's size, which typed arrays insist on.
  const bytes = new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength).slice().buffer;
  const data = new construct(bytes);
  if (dtype === "float16") {
    return { data: Float32Array.from(data as Uint16Array, half), dtype: "float32", shape };
  }
  return { data, dtype, shape };
}

/** Put the arrays of a message back into its JSON tree. */
export function unpack(tree: unknown, buffers: readonly (DataView | ArrayBuffer)[]): unknown {
  if (Array.isArray(tree)) return tree.map((item) => unpack(item, buffers));
  if (typeof tree !== "object" || tree === null) return tree;
  if ("$array" in tree) return readArray(tree as Record<string, unknown>, buffers);
  return Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, unpack(item, buffers)]));
}

/** Replace each array by a reference to a buffer. */
export function pack(value: unknown): [tree: unknown, buffers: ArrayBuffer[]] {
  const buffers: ArrayBuffer[] = [];
  const walk = (item: unknown): unknown => {
    if (isArray(item)) {
      const { buffer, byteOffset, byteLength } = item.data;
      buffers.push((buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength));
      return { $array: buffers.length - 1, dtype: item.dtype, shape: item.shape };
    }
    if (Array.isArray(item)) return item.map(walk);
    if (typeof item !== "object" || item === null) return item;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, walk(inner)]));
  };
  return [walk(value), buffers];
}

"""Integers: logic and shifts of their bits, and common divisors."""

from mlkit.ops.registry import INTEGERS, Elementwise, Op, op


def _integer(name: str, ufunc: str, doc: str, samples: list, refuses: str = "fcV") -> Op:
    class Bits(Elementwise):
        differentiable = False

    Bits.refuses = refuses
    Bits.ufunc = ufunc
    Bits.__doc__ = doc
    return op(samples=samples, name=name)(Bits)


bitwise_and = _integer("bitwise_and", "bitwise_and", "Bitwise and; logical and for bools.", INTEGERS)
bitwise_or = _integer("bitwise_or", "bitwise_or", "Bitwise or; logical or for bools.", INTEGERS)
bitwise_xor = _integer("bitwise_xor", "bitwise_xor", "Bitwise exclusive or.", INTEGERS)
bitwise_not = _integer("bitwise_not", "invert", "Bitwise not; logical not for bools.", [INTEGERS[0][:1]])
bitwise_left_shift = _integer("bitwise_left_shift", "left_shift", "input * 2**other.", INTEGERS, "bfcV")


bitwise_right_shift = _integer(
    "bitwise_right_shift", "right_shift", "input / 2**other, rounded down.", INTEGERS, "bfcV"
)


gcd = _integer("gcd", "gcd", "The greatest common divisor.", INTEGERS, "bfcV")
lcm = _integer("lcm", "lcm", "The least common multiple.", INTEGERS, "bfcV")

"""Draw a digit, and see what a network makes of it."""

from mlkit_widgets.digit_pad.widget import DigitPad

__all__ = ["DigitPad"]

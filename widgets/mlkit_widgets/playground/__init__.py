"""A small network that learns points in a plane, and shows how."""

from mlkit_widgets.playground.widget import Playground

__all__ = ["Playground"]

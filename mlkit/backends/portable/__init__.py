"""Arithmetic written once for every array library with NumPy's interface."""

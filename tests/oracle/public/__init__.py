"""Models written the way public repositories write them, for PyTorch: only the first lines (the imports) are changed.

Each function of the files here takes a ``run`` (see ``tests/oracle/public_models.py``), builds a model and trains it for
a few steps.
"""

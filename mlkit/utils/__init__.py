"""PyTorch's import paths; the content lives in mlkit's rooms."""

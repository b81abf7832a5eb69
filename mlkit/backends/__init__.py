"""Who does the arithmetic: one folder per backend, loaded by name on first use."""

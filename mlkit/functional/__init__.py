"""PyTorch's functions, as compositions of ops. One file per family; mlkit and mlkit.nn.functional pick from here."""

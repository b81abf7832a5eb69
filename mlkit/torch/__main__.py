"""``python -m mlkit.torch script.py``."""

import sys

from mlkit.torch.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Make mlkit/data/shipped/digits.npz from scikit-learn's copy of the UCI digits: python tests/oracle/make_digits.py

Images uint8 [1797, 8, 8] with values 0 to 16, targets uint8 [1797], in the original order. The bytes are the same each
time, so a change in git means a change of the data.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).resolve().parents[2] / "mlkit" / "data" / "shipped" / "digits.npz"


def main() -> None:
    data = load_digits()
    images, targets = data.images.astype(np.uint8), data.target.astype(np.uint8)
    assert images.shape == (1797, 8, 8) and (images == data.images).all() and images.max() == 16
    TARGET.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in (("images", images), ("targets", targets)):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            # a fixed date keeps the file the same each time
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1998, 7, 1, 0, 0, 0)), buffer.getvalue(),
                             zipfile.ZIP_DEFLATED)  # fmt: skip
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

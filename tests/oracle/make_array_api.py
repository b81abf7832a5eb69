"""Ask the standard's strict reference library what each expression gives: ``python -m tests.oracle.make_array_api``.

Needs array-api-strict 2.6. Writes ``array_api.json``, the signatures of the standard's functions, and ``array_api.npz``,
for each expression the result's types and shapes or "error". The tests read them; the library is not needed to run them.
"""

from __future__ import annotations

import inspect
import json
import warnings
import zlib
from pathlib import Path

import numpy as np

from tests.array_api import expressions


def main() -> None:
    import array_api_strict as xp

    xp.set_array_api_strict_flags(api_version="2024.12")
    warnings.simplefilter("ignore")
    signatures = {}
    for prefix, module in (("", xp), ("linalg.", xp.linalg), ("fft.", xp.fft)):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found) and "strict" not in name and name != "isin":
                signatures[prefix + name] = [
                    [p.name, p.kind.name] for p in inspect.signature(found).parameters.values()
                ]
    methods = [n for n, m in vars(xp._array_object.Array).items() if n.startswith("__") and callable(m)]
    names = expressions.inputs(xp)
    outcomes = {}
    for text in expressions.expressions():
        xp.set_array_api_strict_flags(api_version="2024.12")  # asking for another namespace changes it
        try:
            outcomes[text] = expressions.describe(eval(text, dict(names)))
        except Exception:
            outcomes[text] = "error"
    kept = {"signatures": signatures, "methods": sorted(methods)}
    Path(__file__).with_name("array_api.json").write_text(json.dumps(kept) + "\n")
    texts = np.array(zlib.crc32("\n".join(outcomes).encode()))
    np.savez_compressed(
        Path(__file__).with_name("array_api.npz"), outcomes=np.array(list(outcomes.values())), texts=texts
    )
    print(
        len(signatures),
        "signatures,",
        len(outcomes),
        "expressions,",
        sum(o == "error" for o in outcomes.values()),
        "errors",
    )


if __name__ == "__main__":
    main()

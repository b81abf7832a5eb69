"""What a spawned process runs instead of the user's main file: install the redirection, then that file.

`mlkit.torch.hook` names this module to multiprocessing, which runs it as ``__mp_main__`` and takes its names.
"""

import json
import os
import runpy
import sys

from mlkit.torch import hook

if __name__ == "__mp_main__":
    hook.install()
    _main = json.loads(sys.argv.pop(1))
    if _main["name"] and not _main["name"].endswith("__main__"):
        globals().update(runpy.run_module(_main["name"], run_name="__mp_main__", alter_sys=True))
    elif _main["path"] and os.path.splitext(os.path.basename(_main["path"]))[0] != "ipython":
        globals().update(runpy.run_path(_main["path"], run_name="__mp_main__"))
    del _main

"""The programs of this folder are no tests."""

collect_ignore = ["programs", "make_expected.py"]

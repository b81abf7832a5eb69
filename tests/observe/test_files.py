"""atomic_write: all or nothing, whatever goes wrong."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from mlkit.core.files import atomic_write, make_folder


def everything_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replaces_the_file_and_leaves_nothing_aside(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert everything_in(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_error_in_the_block_keeps_the_old_file_and_passes_unchanged(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    raised = error("of the caller")
    with pytest.raises(error) as caught, atomic_write(path) as file:
        file.write(b"half")
        raise raised
    assert caught.value is raised
    assert path.read_bytes() == b"old"
    assert everything_in(tmp_path) == ["a.bin"]


def test_text_is_utf8_and_permissions_are_those_of_open(tmp_path):
    path, plain = tmp_path / "a.txt", tmp_path / "plain.txt"
    with atomic_write(path, "w") as file:
        file.write("ü")
    plain.write_text("")
    assert path.read_bytes() == "ü".encode()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    with atomic_write(path, "w") as file:
        file.write("again")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_missing_folder_and_file_in_its_place_are_named(tmp_path):
    with pytest.raises(OSError, match=r"folder .*missing does not exist\. Make the folder") as caught:
        with atomic_write(tmp_path / "missing" / "deeper" / "a"):
            pass
    assert caught.value.errno == errno.ENOENT
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file is a file where a folder is needed"):
        make_folder(tmp_path / "file" / "sub")
    with pytest.raises(ValueError, match="'wb' or 'w'"), atomic_write(tmp_path / "a", "r+"):
        pass


def run_python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False, **options,
    )  # fmt: skip


def test_full_disk_names_the_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    result = run_python(
        """
        import resource, sys
        from mlkit.core.files import atomic_write
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_write(sys.argv[1]) as file:
                file.write(b"x" * 100_000)
        except OSError as error:
            print(error)
        """,
        path,
    )
    assert f"Cannot write {path}: the file is larger than the system allows" in result.stdout, result.stderr
    assert path.read_bytes() == b"old"
    assert everything_in(tmp_path) == ["model.bin"]


def test_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    result = run_python(
        """
        import os, signal, sys
        from mlkit.core.files import atomic_write
        with atomic_write(sys.argv[1]) as file:
            file.write(b"half"); file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_read_only_folder_says_so(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    code = """
        import os, sys
        if os.getuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        from mlkit.core.files import atomic_write
        try:
            with atomic_write(sys.argv[1]): pass
        except OSError as error:
            print(error)
        """
    # inside the folder, so that another user need not be let through those above
    result = run_python("from mlkit.core import files\n" + textwrap.dedent(code), "a.bin", cwd=folder)
    assert "you may not write there. Choose a folder that you may write to" in result.stdout, result.stderr

"""Downloads from a server on this machine that misbehaves in every way a server can."""

import hashlib
import http.server
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from mlkit.core.errors import DataError
from mlkit.data import download
from mlkit.data.network import cache_folder

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """/good resumes, /plain does not, /wrong is another file, /short breaks off, /slow trickles, /held stops in the middle, /missing is 404."""

    daemon_threads = True

    def __init__(self):
        self.requests = []
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, span = self.path[1:], self.headers.get("Range")
        self.server.requests.append((name, span))
        content = CONTENT if name != "wrong" else b"x" * len(CONTENT)
        start = int(span.split("=")[1].rstrip("-")) if span and name not in ("plain",) else 0
        if name == "missing":
            self.send_error(404)
            return
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        try:
            if name == "short":
                self.wfile.write(content[start : start + 100_000])
            elif name == "slow":
                for at in range(start, len(content), 4000):
                    self.wfile.write(content[at : at + 4000])
                    time.sleep(0.02)
            elif name == "held":
                self.wfile.write(content[start : start + 300_000])
                time.sleep(60)
            else:
                self.wfile.write(content[start:])
        except OSError:
            pass

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def everything_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_download_and_then_no_second_one(server, tmp_path, capsys):
    path = tmp_path / "deep" / "file.gz"
    assert download(server.url("good"), path, SHA256) == path
    assert path.read_bytes() == CONTENT and everything_in(path.parent) == ["file.gz"]
    assert "file.gz" in capsys.readouterr().err  # the progress bar
    download(server.url("good"), path, SHA256)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["wrong", "missing"])
def test_a_bad_server_is_told_and_nothing_is_left(server, tmp_path, name):
    with pytest.raises(DataError) as caught:
        download(server.url(name), tmp_path / "file.gz", SHA256, progress=False)
    expected = f"wrong checksum, expected sha256 {SHA256}" if name == "wrong" else "404"
    assert expected in str(caught.value) and str(tmp_path / "file.gz") in str(caught.value)
    assert everything_in(tmp_path) == []


def test_the_next_mirror_is_tried(server, tmp_path):
    urls = ["http://127.0.0.1:9/", server.url("missing"), server.url("wrong"), server.url("good")]
    assert download(urls, tmp_path / "file.gz", SHA256, progress=False).read_bytes() == CONTENT
    assert everything_in(tmp_path) == ["file.gz"]


@pytest.mark.parametrize("then", ["good", "plain"])
def test_a_broken_connection_is_told_and_taken_up_again(server, tmp_path, then):
    with pytest.raises(DataError, match="broke"):
        download(server.url("short"), tmp_path / "file.gz", SHA256, progress=False)
    assert not (tmp_path / "file.gz").exists()
    download(server.url(then), tmp_path / "file.gz", SHA256, progress=False)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.requests[-1] == (then, "bytes=100000-")
    assert everything_in(tmp_path) == ["file.gz"]


def test_a_damaged_half_is_thrown_away(server, tmp_path):
    (tmp_path / ".file.gz.partial").write_bytes(b"?" * 1000)
    with pytest.raises(DataError, match="wrong checksum"):
        download(server.url("good"), tmp_path / "file.gz", SHA256, progress=False)
    download(server.url("good"), tmp_path / "file.gz", SHA256, progress=False)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_slow_server_is_given_up_when_patience_ends(server, tmp_path):
    with pytest.raises(DataError, match="too slow"):
        download(server.url("slow"), tmp_path / "file.gz", SHA256, progress=False, patience=0.3)
    assert not (tmp_path / "file.gz").exists()


def start(url, path):
    code = "import sys; from mlkit.data import download; download(sys.argv[1], sys.argv[2], sys.argv[3])"
    return subprocess.Popen([sys.executable, "-c", code, url, str(path), SHA256], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_leaves_no_file_and_is_resumed(server, tmp_path, how):
    path = tmp_path / "file.gz"
    process = start(server.url("held"), path)
    part, deadline = tmp_path / ".file.gz.partial", time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    process.wait(30)
    assert not path.exists()
    kept = part.stat().st_size
    assert 0 < kept < len(CONTENT)
    download(server.url("good"), path, SHA256, progress=False)
    assert path.read_bytes() == CONTENT and everything_in(tmp_path) == ["file.gz"]
    assert server.requests[-1] == ("good", f"bytes={kept}-")


def test_two_processes_at_once(server, tmp_path):
    path = tmp_path / "file.gz"
    processes = [start(server.url(name), path) for name in ("slow", "good", "good")]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert path.read_bytes() == CONTENT and everything_in(tmp_path) == ["file.gz"]


def run(code, *arguments, cwd=None):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return result.stdout + result.stderr


def test_a_read_only_home_says_how_to_choose_another_folder(server, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
    said = run(
        """
        import os, sys
        from mlkit.data import download
        import tqdm
        if os.getuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            download(sys.argv[1], "mnist/file.gz", sys.argv[2], progress=False)
        except OSError as error:
            print(error)
        """,
        server.url("good"), SHA256, cwd=home,
    )  # fmt: skip
    assert "you may not write there" in said and "MLKIT_HOME" in said
    assert everything_in(home) == []


def test_a_full_disk_says_so(server, tmp_path):
    said = run(
        """
        import resource, sys
        from mlkit.data import download
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            download(sys.argv[1], sys.argv[2], sys.argv[3], progress=False)
        except OSError as error:
            print(error)
        """,
        server.url("good"), str(tmp_path / "file.gz"), SHA256,
    )  # fmt: skip
    assert f"Cannot write {tmp_path / 'file.gz'}" in said and "MLKIT_HOME" in said
    assert not (tmp_path / "file.gz").exists()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("MLKIT_HOME")
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
        assert cache_folder() == tmp_path / "b" / "mlkit"
    assert os.fspath(cache_folder())

"""What the machine allows: cores in sight, and a container's limit on time."""

import os

import pytest

from mlkit.core import machine


@pytest.mark.parametrize(
    "groups, files, limit",
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4.0),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 1.0),
        ("0::/docker/of/the/host\n", {"cpu.max": "200000 100000\n"}, 2.0),  # its own tree alone is in sight
        (
            "3:cpu,cpuacct:/x\n1:memory:/\n0::/\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
            0.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_a_containers_limit_on_time(tmp_path, groups, files, limit):
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert machine._time_limit(tmp_path / "groups", tmp_path / "root") == limit


def test_no_control_groups_no_limit(tmp_path):
    assert machine._time_limit(tmp_path / "absent", tmp_path) is None


@pytest.mark.parametrize("limit, wanted", [(None, 4), (0.5, 1), (1.5, 2), (3.0, 3), (64.0, 4)])
def test_threads_are_no_more_than_both_allow(monkeypatch, limit, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "_time_limit", lambda: limit)
    assert machine.cores() == wanted

"""`nova platform --metrics URL`."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .program import Done, Running, listening, run, started


@contextmanager
def watched(folder: Path, options: str = "", token: str = "") -> Iterator[tuple[Running, str]]:
    """A platform, and where its metrics are."""
    words = ("--db", str(folder / "nova.db"), "--port", "0", "--manage", f"pipe://n?dir={folder}")
    url = f"http://127.0.0.1:0{options}"
    with started("nova", "platform", *words, "--metrics", url, METRICS=token) as program:
        listening(program)
        listening(program)
        yield program, listening(program)
        done = program.stop()
    assert done.code == 0


def get(url: str, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_metrics_and_readiness(tmp_path: Path) -> None:
    with watched(tmp_path) as (_, url):
        assert url.startswith("http://127.0.0.1:")
        answer, text = get(url, "/metrics")
        assert answer.status == 200
        assert answer.getheader("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        names = {each.name for each in text_string_to_metric_families(text)}
        assert names >= {"novacloud_devices", "novacloud_values", "process_open_fds"}
        answer, text = get(url, "/ready")
        assert answer.status == 200
        assert json.loads(text).items() >= {"ok": True, "store": "ok", "writable": True}.items()
        assert get(url, "/metrics", "HEAD")[1] == ""
        statuses = [get(url, path)[0].status for path in ("/", "/other", "/metrics/deep", "/a/b")]
        assert statuses == [404] * 4
        assert get(url, "/metrics", "POST")[0].status == 405
        assert get(url, "/metrics", host="evil.example.com")[0].status == 403


def test_not_ready_while_the_database_takes_nothing(tmp_path: Path) -> None:
    with watched(tmp_path) as (_, url):
        with sqlite3.connect(tmp_path / "nova.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            answer, text = get(url, "/ready")
            _, metrics = get(url, "/metrics")
            other.execute("ROLLBACK")
        other.close()
        assert answer.status == 503
        assert json.loads(text)["ok"] is False
        assert "\nnovacloud_ready 0\n" in metrics
        assert "\nnovacloud_store_writable 0\n" in metrics


def test_a_token_keeps_strangers_out(tmp_path: Path) -> None:
    with watched(tmp_path, "?token=env:METRICS", "secret") as (_, url):
        for path in ("/metrics", "/ready"):
            answer, text = get(url, path)
            assert (answer.status, answer.getheader("www-authenticate")) == (401, "Bearer")
            assert "novacloud" not in text
            assert get(url, path, authorization="Bearer secret")[0].status == 200


def test_a_public_address_is_warned_of(tmp_path: Path) -> None:
    words = (
        "--db",
        str(tmp_path / "nova.db"),
        "--port",
        "0",
        "--manage",
        f"pipe://n?dir={tmp_path}",
    )
    with started("nova", "platform", *words, "--metrics", "http://0.0.0.0:0") as program:
        for _ in range(3):
            listening(program)
        warned = program.wait_for_error("jsonrpc-iot: WARNING: http://0.0.0.0:")
        assert "other machines can read the metrics" in warned
        assert program.stop().code == 0


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("tcp://127.0.0.1:0", "--metrics tcp://127.0.0.1:0: an http:// or https:// address"),
        ("http://127.0.0.1:0/metrics", "leave out /metrics"),
        ("https://127.0.0.1:0", "cert"),
        ("http://127.0.0.1:0?tokn=env:X", "tokn"),
        ("127.0.0.1:9100", "127.0.0.1:9100"),
    ],
)
def test_wrong_addresses(tmp_path: Path, url: str, complaint: str) -> None:
    words = (
        "--db",
        str(tmp_path / "nova.db"),
        "--port",
        "0",
        "--manage",
        f"pipe://n?dir={tmp_path}",
    )
    done = run("nova", "platform", *words, "--metrics", url)
    assert done.code == 2
    assert complaint in done.complaint


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with watched(tmp_path) as (_, url):
        folder = tmp_path / "other"
        folder.mkdir()
        words = (
            "--db",
            str(folder / "nova.db"),
            "--port",
            "0",
            "--manage",
            f"pipe://n?dir={folder}",
        )
        done: Done = run("nova", "platform", *words, "--metrics", url)
    assert done.code == 3
    assert url in done.complaint

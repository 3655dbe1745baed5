"""Which origins an entry of `allowed_origins` allows, and which entries are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf.cluster.options import AppOptions
from realtime_drf.cluster.origins import Origins
from realtime_drf.exceptions import InvalidTransport

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOST = st.lists(LABEL, min_size=1, max_size=4).map(lambda labels: f"{'.'.join(labels)}.org")
PORT = st.integers(1, 65_535).filter(lambda port: port not in (80, 443))


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        (
            "https://example.com",
            ["https://example.com"],
            [
                "http://example.com",
                "https://example.com:8443",
                "https://a.example.com",
                "https://example.com.evil.test",
                "https://example.comx",
                "https://examplexcom",
                "https://EXAMPLE.com",
                "https://example.com\n",
                "null",
                "",
            ],
        ),
        (
            "https://*.example.com",
            ["https://a.example.com", "https://a.b.example.com", "https://example.com"],
            [
                "http://a.example.com",
                "https://aexample.com",
                "https://a.example.com:8443",
                "https://evil.test/.example.com",
                "https://evil.test:80.example.com",
                "https://user@.example.com",
            ],
        ),
        (
            "https://*.example.com:8443",
            ["https://a.example.com:8443", "https://example.com:8443"],
            ["https://a.example.com"],
        ),
        (
            "http://localhost:*",
            ["http://localhost", "http://localhost:5173"],
            ["https://localhost", "http://localhost:", "http://localhost:80.evil.test"],
        ),
        (
            "example.com",
            ["https://example.com", "http://example.com:8000", "capacitor://example.com"],
            ["https://a.example.com", "example.com", "https://example.com.evil.test"],
        ),
        (
            ".example.com",
            ["https://example.com", "http://a.b.example.com:8000"],
            ["https://aexample.com", "https://example.com.evil.test"],
        ),
        ("http://[::1]:8000", ["http://[::1]:8000"], ["http://[::1]"]),
        ("null", ["null"], ["https://null"]),
        ("file://", ["file://"], ["null"]),
        ("chrome-extension://abcdef", ["chrome-extension://abcdef"], ["https://abcdef"]),
    ],
)
def test_an_entry_allows_what_it_says(pattern: str, allowed: list[str], refused: list[str]) -> None:
    origins = Origins(["https://other.test", pattern])
    assert [origin for origin in allowed if origin not in origins] == []
    assert [origin for origin in refused if origin in origins] == []


@pytest.mark.parametrize(
    ("pattern", "mend"),
    [
        ("*", "leave the option out"),
        ("https://example.com:443", "leave out the port"),
        ("http://example.com:80", "leave out the port"),
        ("https://*.example.com:443", "leave out the port"),
        ("https://example.com/", "without a path"),
        ("https://Example.com", "lower case"),
        ("https://käse.test", "xn--"),
        ("wss://example.com", "scheme of the page"),
        ("http://localhost:0", "no such port"),
        ("http://localhost:65536", "no such port"),
        ("https://*", "such as"),
        ("https://a.*.com", "such as"),
        ("https://user@example.com", "such as"),
        ("example.com:8000", "such as"),
        ("*.example.com", "such as"),
        ("", "such as"),
        (7, "such as"),
    ],
)
def test_an_entry_that_can_never_match_is_refused(pattern: Any, mend: str) -> None:
    with pytest.raises(ValueError, match=r"^has ") as error:
        Origins([pattern])
    assert mend in str(error.value)


@pytest.mark.parametrize("patterns", ["https://example.com", b"", 7])
def test_it_is_a_list(patterns: Any) -> None:
    with pytest.raises(InvalidTransport, match="'allowed_origins' must be a list of str, not"):
        AppOptions(allowed_origins=patterns)


def test_an_empty_list_allows_none() -> None:
    assert "https://example.com" not in Origins([])
    assert "" not in Origins([])


@given(st.sampled_from(["http", "https"]), HOST, st.none() | PORT, HOST)
def test_wildcards_reach_subdomains_and_ports_and_no_further(
    scheme: str, host: str, port: int | None, other: str
) -> None:
    end = "" if port is None else f":{port}"
    origin, subdomain = f"{scheme}://{host}{end}", f"{scheme}://{other}.{host}{end}"
    assert origin in Origins([f"{scheme}://{host}{end}"])
    for patterns in ([f"{scheme}://*.{host}{end}"], [f".{host}"]):
        assert origin in Origins(patterns)
        assert subdomain in Origins(patterns)
        assert f"{scheme}://{other}{host}{end}" not in Origins(patterns)
        assert f"{scheme}://{host}{end}.{other}.test" not in Origins(patterns)
    assert subdomain not in Origins([origin, f"{scheme}://{host}:*", host])
    assert origin in Origins([f"{scheme}://{host}:*"])

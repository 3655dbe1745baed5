"""Redaction takes out what is secret, and leaves what helps."""

from __future__ import annotations

import json
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf.transports.redaction import REDACTED, RedactingFilter, Redactor


def make_record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("urllib3", logging.DEBUG, "", 0, message, args, None)


def test_a_secret_that_contains_another_goes_whole() -> None:
    for secrets in (["abc", "abcdef"], ["abcdef", "abc"]):
        assert Redactor(secrets).text("is abcdef") == f"is {REDACTED}"


def test_no_secret_is_no_reason_to_redact() -> None:
    assert Redactor([""]).text("abc") == "abc"


@given(st.text(), st.text())
def test_the_rest_of_a_text_stays(before: str, after: str) -> None:
    secret = "\N{PARTY POPPER}secret"
    text = Redactor([secret]).text(f"{before}{secret}{after}")
    assert text == Redactor([]).text(before) + REDACTED + Redactor([]).text(after)


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("secret"),
        OSError(5, "secret", "secret"),
        json.JSONDecodeError("secret", "secret", 0),
        UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
        KeyError("secret"),
    ],
    ids=repr,
)
def test_the_copy_of_an_exception_is_of_its_class_and_place(exc: Exception) -> None:
    def fail() -> None:
        try:
            raise RuntimeError("secret")
        except RuntimeError as cause:
            raise exc from cause

    with pytest.raises(type(exc)) as caught:
        fail()
    copy = Redactor(["secret"]).exception(caught.value)
    assert type(copy) is type(exc)
    assert copy.__traceback__ is exc.__traceback__
    assert (copy.__cause__, copy.__context__) == (None, None)
    assert "secret" not in f"{copy} {copy!r} {copy.args} {vars(copy)}"
    # The lines of this test are shown, and hold the word.
    assert REDACTED in traceback.format_exception_only(copy)[-1] or not str(copy)


def test_a_signed_url_is_logged_without_key_and_signature() -> None:
    url = f"/apps/1/events?auth_key=k%26&auth_signature={'0a' * 32}&auth_version=1.0&body_md5=x"
    record = make_record('%s "POST %s HTTP/1.1" %s', "host", url, 200)
    assert RedactingFilter().filter(record)
    assert record.getMessage() == (
        f'host "POST /apps/1/events?auth_key={REDACTED}&auth_signature={REDACTED}'
        f'&auth_version=1.0&body_md5=x HTTP/1.1" 200'
    )

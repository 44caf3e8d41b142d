"""Answers that stay the same: what a browser accepts of them, and what it has already."""

from __future__ import annotations

import gzip

import pytest

from doran.kernel.constant import WORTHWHILE, Constant

BODY = b"const doran = 1;" * 500
PAGE = Constant(BODY, {"content-type": "text/javascript"}, coded={"br": b"small", "gzip": b"not so small"})


def coding(accept: str | None, constant: Constant = PAGE) -> str:
    answer = constant.answer("GET", accept_encoding=accept, if_none_match=None)
    return dict(answer.headers).get("content-encoding", "identity")


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP;Q=1.0", "gzip"),
        ("x-gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, *", "gzip"),
        ("*", "br"),
        ("*;q=0", "identity"),
        ("identity", "identity"),
        ("identity;q=1, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=1", "gzip"),
        ("identity, br", "br"),
        ("deflate, zstd", "identity"),
        ("identity;q=0", "identity"),
        ("gzip;q=broken", "identity"),
        ("gzip;q=7", "identity"),
        ("gzip;q=nan", "identity"),
        (" , gzip ; q=0.3 ,", "gzip"),
    ],
)
def test_what_is_accepted_is_what_is_sent(accept: str | None, sent: str) -> None:
    assert coding(accept) == sent


def test_each_representation_has_its_own_tag_and_length() -> None:
    answers = [PAGE.answer("GET", accept_encoding=one, if_none_match=None) for one in (None, "gzip", "br")]
    said = [dict(one.headers) for one in answers]
    assert [one.body for one in answers] == [BODY, b"not so small", b"small"]
    assert [int(one["content-length"]) for one in said] == [len(one.body) for one in answers]
    assert len({one["etag"] for one in said}) == 3
    assert {one["vary"] for one in said} == {"accept-encoding"}
    assert {one["content-type"] for one in said} == {"text/javascript"}


def test_head_is_get_without_its_body() -> None:
    for accept in (None, "gzip"):
        got = PAGE.answer("GET", accept_encoding=accept, if_none_match=None)
        asked = PAGE.answer("HEAD", accept_encoding=accept, if_none_match=None)
        assert (asked.status, asked.headers, asked.body) == (200, got.headers, b"")


def test_who_has_it_is_told_so_but_only_of_what_they_accept() -> None:
    tags = {
        one: dict(PAGE.answer("GET", accept_encoding=one, if_none_match=None).headers)["etag"] for one in ("", "gzip")
    }
    for said in (tags["gzip"], f"W/{tags['gzip']}", f'"other", {tags["gzip"]}', "*"):
        answer = PAGE.answer("GET", accept_encoding="gzip", if_none_match=said)
        assert (answer.status, answer.body) == (304, b"")
        assert dict(answer.headers).keys() >= {"etag", "vary"}
        assert dict(answer.headers).keys().isdisjoint({"content-length", "content-type", "content-encoding"})
    for said in (tags[""], '"other"', ""):
        assert PAGE.answer("GET", accept_encoding="gzip", if_none_match=said).status == 200


def test_without_a_build_gzip_is_made_here_where_it_is_worth_it() -> None:
    large, small = Constant(BODY, {}), Constant(BODY[: WORTHWHILE - 1], {})
    answer = large.answer("GET", accept_encoding="gzip, br", if_none_match=None)
    assert gzip.decompress(answer.body) == BODY
    assert coding("gzip", small) == "identity"
    assert coding("gzip", Constant(b"", {})) == "identity"

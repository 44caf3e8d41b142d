"""The REST edge: 민지 asks well, asks badly, and asks without saying who she is."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from django.db import OperationalError
from django.test import Client, override_settings
from openapi_spec_validator import validate as validate_openapi

from doran.contracts.errors import Problem, invalid
from doran.kernel import auth, config
from doran.kernel.http import (
    Answer,
    Api,
    Json,
    Page,
    PageQuery,
    Query,
    documents,
    edge,
    handler400,
    handler403,
    handler404,
    handler500,
    offers,
    route,
    urls,
)
from doran.kernel.http.docs import render
from doran.kernel.http.openapi import document, operations

pytestmark = pytest.mark.stateless

__all__ = ["handler400", "handler403", "handler404", "handler500"]

JSON = "application/json"
NOTES = "/api/test/boxes/b1/notes/"


class NewNote(msgspec.Struct, forbid_unknown_fields=True):
    content: Annotated[str, msgspec.Meta(max_length=10)]
    stars: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: list[str] = []
    extra: Any = None


class Note(msgspec.Struct):
    """A note in a box."""

    box_id: str
    author_id: str
    content: str


written: list[Note] = []


class Notes(Api):
    @offers()
    def get(self, parsed_query: Query[PageQuery]) -> Page[Note]:
        """The notes, page by page."""
        return self.page(written, count=60, next={"page": parsed_query.page + 1}, previous=None)

    @offers({201: Note, 200: Note}, problems=("idempotency_conflict", "sender_mismatch", "recipient_unavailable"))
    def post(self, parsed_body: Json[NewNote]) -> Answer:
        """Write a note."""
        note = Note(self.kwargs["box_id"], self.principal.user_id, parsed_body.content)
        if note in written:
            return self.answer(written[written.index(note)], status=200)
        written.append(note)
        return self.answer(note, status=201)

    @offers(status=204)
    def delete(self) -> None:
        """Throw all notes away."""
        written.clear()


class Mark(msgspec.Struct, forbid_unknown_fields=True):
    colour: str = "blue"


class Marks(Api):
    @offers()
    def post(self, parsed_body: Json[Mark]) -> str:
        """Mark a box."""
        return parsed_body.colour


class Trouble(Api):
    @offers(public=True)
    def get(self) -> None:
        """Whatever the test wants to go wrong."""
        raise trouble[0]


class Mirror(Api):
    @offers(public=True)
    def get(self) -> dict[str, str | None]:
        """What the server knows of the request."""
        return {"address": self.client_address, "key": self.idempotency_key}


class Unreadable(Api):
    @offers(public=True)
    def get(self) -> dict[str, Any]:
        """An answer that is no JSON."""
        return {"secret words": object()}


trouble: list[Exception] = []
ROUTES = (
    route("api/test/boxes/<id:box_id>/notes/", Notes),
    route("api/test/boxes/<id:box_id>/marks/", Marks),
    route("api/test/trouble/", Trouble),
    route("api/test/mirror", Mirror),
    route("api/test/unreadable/", Unreadable),
)
urlpatterns = [*urls(ROUTES), *documents({"test": ROUTES})]


class Believing:
    """Stands where tokens are verified; believes the cast."""

    def verify(self, token: str) -> auth.Principal:
        if token not in ("minji", "junho"):
            raise Problem("not_authenticated")
        return auth.Principal(token, "s1", "https://doran.test", 2_000_000_000, "t1")


@pytest.fixture(autouse=True)
def house() -> Iterator[None]:
    before = config.current()
    auth.use(Believing())  # type: ignore[arg-type]
    config.use(config.load({}))
    edge._calls.cache_clear()
    written.clear()
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"]):
        yield
    auth.use(None)
    config.use(before)


@pytest.fixture
def minji() -> Client:
    return Client(headers={"authorization": "Bearer minji"})


@pytest.fixture
def stranger() -> Client:
    return Client(raise_request_exception=False)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The refusal, once it is known to be a whole one."""
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    said: dict[str, Any] = json.loads(response.content)
    assert (said["status"], said["code"], said["type"]) == (status, code, f"urn:doran:problem:{code}")
    assert said["title"]
    assert said["detail"]
    return said


def wrong(response: Any) -> dict[str, str]:
    said = problem(response, 422, "validation_failed")
    return {error["field"]: error["detail"] for error in said["errors"]}


# -- asking well ---------------------------------------------------------------------------------


def test_the_token_says_who_writes_and_the_status_says_whether_it_is_new(minji: Client) -> None:
    first = minji.post(NOTES, {"content": "안녕"}, content_type=JSON)
    again = minji.post(NOTES, {"content": "안녕"}, content_type=JSON)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == {"box_id": "b1", "author_id": "minji", "content": "안녕"}
    assert first.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [NOTES, NOTES.rstrip("/"), "/api/test/mirror", "/api/test/mirror/"])
def test_every_path_answers_with_and_without_its_slash(minji: Client, path: str) -> None:
    assert minji.get(path).status_code == 200


def test_neighbouring_pages_keep_the_other_query_values(minji: Client) -> None:
    page = minji.get(NOTES + "?page=2&page_size=5").json()

    assert page["next"] == f"http://testserver{NOTES}?page_size=5&page=3"
    assert (page["previous"], page["count"], page["results"]) == (None, 60, [])


def test_links_name_the_public_address_when_there_is_one(minji: Client) -> None:
    config.use(config.load({"DORAN_PUBLIC_URL": "https://chat.example.com/"}))

    assert minji.get(NOTES).json()["next"] == f"https://chat.example.com{NOTES}?page=2"


def test_head_is_get_without_a_body_and_options_names_the_methods(minji: Client) -> None:
    assert (minji.head(NOTES).status_code, minji.head(NOTES).content) == (200, b"")
    assert minji.options(NOTES).headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


def test_nothing_to_say_is_204_without_a_body(minji: Client) -> None:
    response = minji.delete(NOTES)
    assert (response.status_code, response.content) == (204, b"")


def test_accept_never_makes_a_call_fail(minji: Client) -> None:
    response = minji.get(NOTES, headers={"accept": "text/html"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, JSON)


@pytest.mark.parametrize(("sent", "read"), [('"k-1"', "k-1"), ("k-1", "k-1"), ("", None), ('""', None), ('"', '"')])
def test_the_idempotency_key_comes_quoted_or_not(stranger: Client, sent: str, read: str | None) -> None:
    assert stranger.get("/api/test/mirror", headers={"idempotency-key": sent}).json()["key"] == read


def test_only_a_trusted_proxy_may_say_where_a_request_came_from(stranger: Client) -> None:
    headers = {"x-forwarded-for": "203.0.113.9"}
    assert stranger.get("/api/test/mirror", headers=headers).json()["address"] == "127.0.0.1"

    config.use(config.load({"DORAN_TRUSTED_PROXIES": "127.0.0.0/8"}))
    assert stranger.get("/api/test/mirror", headers=headers).json()["address"] == "203.0.113.9"


# -- asking badly --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_without_a_token_nothing_is_answered_or_done(stranger: Client, method: str) -> None:
    response = getattr(stranger, method)(NOTES, {"content": "hi"}, content_type=JSON)

    problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="doran"'
    assert written == []


def test_a_token_that_is_not_believed_is_told_so_before_its_body_is_read(stranger: Client) -> None:
    response = stranger.post(NOTES, b"{", content_type=JSON, headers={"authorization": "Bearer sora"})

    problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="doran", error="invalid_token"'


def test_every_wrong_field_is_named_at_once_and_nothing_is_done(minji: Client) -> None:
    body = {"content": "far too long a note", "stars": "3", "tags": ["a", 1], "colour": "red"}
    errors = wrong(minji.post(NOTES, body, content_type=JSON))

    assert errors == {
        "content": "This must have at most 10 characters.",
        "stars": "This must be a whole number, not text.",
        "tags[1]": "This must be text, not a whole number.",
        "colour": "This field is not known here.",
    }
    assert written == []


@pytest.mark.parametrize("stars", ["3", True, 3.0, None, [3]])
def test_a_value_of_another_type_is_not_bent_to_fit(minji: Client, stars: Any) -> None:
    assert list(wrong(minji.post(NOTES, {"content": "hi", "stars": stars}, content_type=JSON))) == ["stars"]
    assert written == []


def test_a_missing_field_is_named(minji: Client) -> None:
    assert wrong(minji.post(NOTES, {}, content_type=JSON)) == {"content": "This field is required."}


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_refused(minji: Client, body: bytes) -> None:
    assert list(wrong(minji.post(NOTES, body, content_type=JSON))) == [""]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'content': 'hi'}",
        b'{"content": "hi"} x',
        b'{"content": NaN}',
        b'{"content": "\xff"}',
        b'{"content": "\\ud800 alone"}',
        b'{"content": "\\udc00 alone"}',
        b"[" * 100_000,
        b'{"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"content": "hi", "extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"unknown": ' + b'{"a":' * 50_000,
    ],
    ids=[
        "cut",
        "quotes",
        "more",
        "nan",
        "utf8",
        "high surrogate",
        "low surrogate",
        "deep",
        "deep field",
        "deep anything",
        "deep unknown",
    ],
)
def test_what_is_not_json_is_refused(minji: Client, body: bytes) -> None:
    refused = problem(minji.post(NOTES, body, content_type=JSON), 400, "malformed_json")
    assert not re.search("codec|0x|truncated|malformed:|recursion|Input", refused["detail"])
    assert written == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"content": "one", "content": "two"}',
        b'{"content": "one", "stars": 3, "c\\u006fntent": "two"}',
        b'{"content": "one", "extra": [{"a": 1, "b": {"a": 2, "a": 2}}]}',
    ],
    ids=["plain", "spelled otherwise", "inside"],
)
def test_a_field_that_is_named_twice_is_refused(minji: Client, body: bytes) -> None:
    refused = problem(minji.post(NOTES, body, content_type=JSON), 400, "malformed_json")
    assert refused["detail"] == "An object names a field twice."
    assert written == []


def test_an_empty_body_is_not_json(minji: Client) -> None:
    response = minji.generic("POST", NOTES, b"", content_type=JSON, headers={"content-type": JSON})
    problem(response, 400, "malformed_json")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_only_json_is_a_body(minji: Client, kind: str) -> None:
    problem(minji.generic("POST", NOTES, b'{"content": "hi"}', content_type=kind), 415, "unsupported_media_type")
    assert written == []


def test_a_call_with_nothing_to_say_needs_no_body(minji: Client) -> None:
    marks = "/api/test/boxes/b1/marks/"
    silent = minji.generic("POST", marks, b"", content_type="")
    spoken = minji.post(marks, {"colour": "red"}, content_type=JSON)

    assert (silent.json(), spoken.json()) == ("blue", "red")
    problem(minji.generic("POST", marks, b"colour=red", content_type="text/plain"), 415, "unsupported_media_type")


def test_wrong_query_values_are_named(minji: Client) -> None:
    assert wrong(minji.get(NOTES + "?page=0&page_size=many&colour=red")) == {
        "page": "This must be at least 1.",
        "page_size": "This must be a whole number, not text.",
        "colour": "This field is not known here.",
    }


def test_a_method_that_is_not_offered_names_those_that_are(minji: Client) -> None:
    response = minji.put(NOTES, {}, content_type=JSON)
    problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    "path", ["/api/test/nothing/", "/api/test/boxes/a%00b/notes/", f"/api/test/boxes/{'x' * 256}/notes/"]
)
def test_what_cannot_be_an_id_looks_like_what_does_not_exist(minji: Client, path: str) -> None:
    problem(minji.get(path), 404, "not_found")


# -- things go wrong inside ----------------------------------------------------------------------


def test_a_refusal_from_inside_keeps_its_words_and_fields(stranger: Client) -> None:
    trouble[:] = [invalid("content", "It is empty.")]
    said = problem(stranger.get("/api/test/trouble/"), 422, "validation_failed")
    assert said["errors"] == [{"field": "content", "detail": "It is empty."}]


@pytest.mark.parametrize(
    ("code", "status", "wait", "said"),
    [("too_many_requests", 429, 0.2, "1"), ("unavailable", 503, 2.1, "3"), ("no_provider", 503, None, "1")],
)
def test_come_back_later_says_when(stranger: Client, code: str, status: int, wait: float | None, said: str) -> None:
    trouble[:] = [Problem(code, retry_after=wait)]
    response = stranger.get("/api/test/trouble/")
    problem(response, status, code)
    assert response.headers["Retry-After"] == said


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [("database or disk is full", 507, "storage_full"), ("database is locked", 503, "unavailable")],
)
def test_a_database_in_trouble_is_not_an_internal_error(stranger: Client, text: str, status: int, code: str) -> None:
    trouble[:] = [OperationalError(text)]
    problem(stranger.get("/api/test/trouble/"), status, code)


def test_an_unexpected_error_says_nothing_of_what_people_wrote(
    stranger: Client, caplog: pytest.LogCaptureFixture
) -> None:
    trouble[:] = [ValueError("secret words")]
    with caplog.at_level(logging.DEBUG):
        response = stranger.get("/api/test/trouble/")

    problem(response, 500, "internal_error")
    assert b"secret" not in response.content
    assert [record.name for record in caplog.records] == ["doran.http"]
    assert "secret" not in str([vars(record) for record in caplog.records])
    assert caplog.records[0].error_class == "ValueError"
    assert "get" in caplog.records[0].places[-1]


def test_an_answer_that_cannot_be_written_is_an_internal_error(
    stranger: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = stranger.get("/api/test/unreadable/")
    problem(response, 500, "internal_error")
    assert b"secret" not in response.content
    assert "secret" not in caplog.text


# -- asking too often ----------------------------------------------------------------------------


def test_who_asks_too_often_waits_and_nobody_else_does(minji: Client) -> None:
    config.use(config.load({"DORAN_REQUESTS_PER_SECOND": "1"}))
    statuses = [minji.get(NOTES).status_code for _ in range(5)]
    refused = minji.get(NOTES)
    junho = minji.get(NOTES, headers={"authorization": "Bearer junho"})

    assert statuses == [200, 200, 200, 200, 429]
    problem(refused, 429, "too_many_requests")
    assert refused.headers["Retry-After"] == "1"
    assert junho.status_code == 200


def test_without_a_token_calls_are_counted_by_address(stranger: Client) -> None:
    config.use(config.load({"DORAN_REQUESTS_PER_SECOND": "1"}))
    guesses = [stranger.get(NOTES, headers={"authorization": f"Bearer {n}"}).status_code for n in range(4)]

    assert guesses == [401] * 4
    problem(stranger.get("/api/test/mirror"), 429, "too_many_requests")
    assert stranger.get("/api/test/mirror", REMOTE_ADDR="203.0.113.9").status_code == 200


# -- what is written about it --------------------------------------------------------------------


@pytest.fixture
def described() -> dict[str, Any]:
    return document({"test": ROUTES})


def test_the_schema_is_valid_and_served(stranger: Client, described: dict[str, Any]) -> None:
    response = stranger.get("/api/schema")
    validate_openapi(json.loads(response.content))
    assert json.loads(response.content) == json.loads(msgspec.json.encode(described))
    assert described["openapi"].startswith("3.1")


def test_the_schema_tells_the_whole_of_a_call(described: dict[str, Any]) -> None:
    call = described["paths"]["/api/test/boxes/{box_id}/notes/"]["post"]

    assert (call["operationId"], call["summary"], call["tags"]) == ("testNotesPost", "Write a note.", ["test"])
    assert call["security"] == [{"bearer": []}]
    assert [(one["name"], one["in"], one["required"]) for one in call["parameters"]] == [("box_id", "path", True)]
    assert set(call["responses"]) == {
        "200", "201", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "500", "503",
    }  # fmt: skip
    assert call["responses"]["403"]["description"] == (
        "`sender_mismatch`: The sender is not you. `recipient_unavailable`: This person cannot be reached."
    )
    assert list(call["responses"]["409"]["content"]) == ["application/problem+json"]
    assert described["paths"]["/api/test/boxes/{box_id}/notes/"]["delete"]["responses"]["204"] == {
        "description": "No Content"
    }


def test_the_schema_says_where_a_body_may_be_left_out(described: dict[str, Any]) -> None:
    boxes = "/api/test/boxes/{box_id}"
    needed = {path: call["requestBody"]["required"] for path, _, call in operations(described) if "requestBody" in call}
    assert needed == {f"{boxes}/notes/": True, f"{boxes}/marks/": False}


def test_every_refusal_is_a_problem_and_says_who_may_call(described: dict[str, Any]) -> None:
    shared = described["components"]["responses"]
    for _path, _verb, call in operations(described):
        for status, said in call["responses"].items():
            answer = shared[said["$ref"].rpartition("/")[2]] if "$ref" in said else said
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"]
        assert call["security"] == [{"bearer": []}] or "401" not in call["responses"]
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "Retry-After" in shared["TooManyRequests"]["headers"]


def test_the_page_about_it_needs_nothing_but_its_style_sheet(stranger: Client, described: dict[str, Any]) -> None:
    page = stranger.get("/api/docs/")
    text = page.content.decode()

    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    for forbidden in ("<script", "<style", " style=", "http://", "https://", "//cdn"):
        assert forbidden not in text
    for path, _verb, call in operations(described):
        assert f'id="{call["operationId"]}"' in text
        assert f"<code>{path}</code>" in text
    style = stranger.get("/api/docs/style.css")
    assert (style.status_code, style.headers["Content-Type"]) == (200, "text/css")
    assert b"prefers-color-scheme: dark" in style.content


def test_the_page_shows_each_call_as_it_is_typed(described: dict[str, Any]) -> None:
    text = html.unescape(str(render(described)))
    assert (
        'curl -X POST \\\n  "$DORAN/api/test/boxes/{box_id}/notes/" \\\n  -H "Authorization: Bearer $TOKEN" \\\n'
        """  --json '{"content":"…"}'"""
    ) in text
    assert 'curl \\\n  "$DORAN/api/test/mirror"</code>' in text


def test_words_in_the_page_are_words_and_not_markup(described: dict[str, Any]) -> None:
    described["info"]["description"] = "<script>alert(1)</script> `<b>`"
    text = str(render(described))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;b&gt;</code>" in text


def test_the_page_is_only_for_reading(stranger: Client) -> None:
    response = stranger.post("/api/docs/")
    problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD"

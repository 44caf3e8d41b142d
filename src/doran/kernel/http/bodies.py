"""JSON in: bytes become msgspec structs, or one refusal that names every wrong field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec
from django.http import HttpRequest
from dmr.exceptions import DataParsingError, RequestSerializationError
from dmr.negotiation import RequestNegotiator
from dmr.parsers import Parser, Raw
from dmr.plugins.msgspec import MsgspecJsonParser, MsgspecSerializer

from doran.contracts.errors import FieldError, Problem
from doran.kernel import json_errors

_CONTEXT_NAMES = frozenset({"parsed_body", "parsed_query", "parsed_path", "parsed_headers"})


class StrictJson(MsgspecJsonParser):
    """JSON whose types are taken as they stand: "1" is not 1."""

    __slots__ = ()
    strict: ClassVar[bool] = True


class Bodies(MsgspecSerializer):
    """Turns what a request carries into structs. Raises `Problem`: malformed_json or validation_failed."""

    __slots__ = ()

    @classmethod
    def deserialize(cls, buffer: Raw, *, parser: Parser, request: HttpRequest, model: Any) -> Any:
        if not buffer:
            return _nothing_said(model)
        try:
            found = super().deserialize(buffer, parser=parser, request=request, model=model)
            _refuse_duplicates(buffer)
        except msgspec.ValidationError as wrong:
            raise refused(_plain(buffer), model, wrong, strict=True) from None
        except DataParsingError as wrong:
            raise _malformed(wrong.__cause__ if isinstance(wrong.__cause__, Exception) else wrong) from None
        except RecursionError as wrong:
            raise _malformed(wrong) from None
        return found

    @classmethod
    def from_python(
        cls,
        unstructured: Any,
        model: Any,
        *,
        strict: bool | None,
        extra_namespace: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return super().from_python(unstructured, model, strict=strict)
        except msgspec.ValidationError as wrong:
            raise refused(unstructured, model, wrong, strict=bool(strict)) from None


class JsonOnly(RequestNegotiator):
    """Bodies are `application/json` and nothing else."""

    __slots__ = ()

    def __call__(self, request: HttpRequest) -> Parser:
        try:
            return super().__call__(request)
        except RequestSerializationError:
            if not request.content_type and not request.body:
                return self._default  # nothing was sent, so it has no type
            raise Problem("unsupported_media_type") from None


def _nothing_said(model: Any) -> Any:
    """An empty body says as much as `{}`, where that is enough."""
    try:
        return msgspec.convert({}, model)
    except msgspec.ValidationError:
        raise Problem("malformed_json", "The body is empty.") from None


def _refuse_duplicates(buffer: Raw) -> None:
    """Refuse an object that names a field twice: two readers may take it for two different things."""
    json.loads(buffer, object_pairs_hook=_once, parse_int=str, parse_float=str)


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Problem("malformed_json", "An object names a field twice.")


def _malformed(wrong: Exception) -> Problem:
    return Problem("malformed_json", json_errors.of_text(wrong))


def refused(value: Any, kind: Any, wrong: msgspec.ValidationError, *, strict: bool) -> Problem:
    """The 422 for a value that does not fit: every wrong field, or the whole value if no field is to blame."""
    found = tuple(wrong_fields(value, kind, strict=strict))
    return Problem("validation_failed", errors=found or (_said("", wrong),))


def wrong_fields(value: Any, kind: Any, *, strict: bool) -> Iterator[FieldError]:
    """Each field of `value` that does not fit the struct `kind`; msgspec itself stops at the first."""
    if not (isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if kind.__struct_config__.forbid_unknown_fields:
        yield from (FieldError(str(name), "This field is not known here.") for name in value if name not in known)
    for name, field in known.items():
        if name in value:
            yield from _wrong_value(name, value[name], field.type, strict=strict)
        elif field.required:
            yield FieldError(name, "This field is required.")


def _wrong_value(name: str, value: Any, kind: Any, *, strict: bool) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as wrong:
        if name in _CONTEXT_NAMES:
            yield from wrong_fields(value, kind, strict=strict)
        else:
            yield _said(name, wrong)


def _said(name: str, wrong: msgspec.ValidationError) -> FieldError:
    where, why = json_errors.of_value(wrong)
    return FieldError(name + where if where.startswith("[") else ".".join(filter(None, (name, where))), why)


def _plain(buffer: Raw) -> Any:
    try:
        return msgspec.json.decode(buffer)
    except (RecursionError, UnicodeDecodeError, msgspec.DecodeError) as wrong:
        raise _malformed(wrong) from None  # behind the first wrong field: what follows is no JSON at all

"""Error messages for invalid JSON, in our own words: a library's change with its version and name its own types."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_KINDS: Final = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "null",
    "array": "a list", "object": "an object", "uuid": "an id", "datetime": "a time",
}  # fmt: skip
_COMPARED: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_OTHER_KIND: Final = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?")
_LENGTH: Final = re.compile(r"Expected `(\w+)` of (?:length (>=|<=) |at (least) length )(\d+)")
_SIZE: Final = re.compile(r"Expected `\w+` (>=|<=|>|<) (-?[\d.]+?)(?:\.0)?$")
_FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_PLACE: Final = re.compile(r"\(byte (\d+)\)")
_PATH: Final = " - at `$"


def of_value(wrong: msgspec.ValidationError) -> tuple[str, str]:
    """Return the path of the wrong field, such as `tags[1]`, and a sentence that says why."""
    words, _, path = str(wrong).rpartition(_PATH) if _PATH in str(wrong) else (str(wrong), "", "")
    where = path.rstrip("`").removeprefix(".")
    if found := _FIELD.match(words):
        why = "This field is required." if found[1].startswith("missing") else "This field is not known here."
        return ".".join(filter(None, (where, found[2]))), why
    return where, _sentence(words)


def of_text(wrong: Exception) -> str:
    """Return a sentence that says why a text is not JSON, or does not fit the expected type."""
    if isinstance(wrong, RecursionError):
        return "The JSON is nested too deeply."
    if isinstance(wrong, msgspec.ValidationError):
        return ": ".join(filter(None, of_value(wrong)))
    if isinstance(wrong, UnicodeDecodeError):
        return "The JSON is not UTF-8."
    place = _PLACE.search(str(wrong))
    if place is None:  # the end came too early, or half of a surrogate pair stands alone
        return "The JSON is cut off, or holds half of a character."
    return f"This is not JSON, from byte {place[1]} on."


def _sentence(words: str) -> str:
    if found := _LENGTH.match(words):
        one, many = ("character", "characters") if found[1] == "str" else ("entry", "entries")
        bound = _COMPARED[found[2]] if found[2] else "at least"
        return f"This must have {bound} {found[4]} {one if found[4] == '1' else many}."
    if found := _SIZE.match(words):
        return f"This must be {_COMPARED[found[1]]} {found[2]}."
    if (found := _OTHER_KIND.fullmatch(words)) and (wanted := _kinds(found[1])):
        got = "a fraction" if found[2] == "float" else _kinds(found[2] or "")
        return f"This must be {wanted}, not {got}." if got else f"This must be {wanted}."
    return (
        "This value is not known here."
        if words.startswith("Invalid")
        else "This does not have the form that is expected here."
    )


def _kinds(names: str) -> str:
    """Return `text or null` for `str | null`; empty where a name is not one of ours."""
    kinds = [_KINDS.get(name, "") for name in names.split(" | ")]
    return " or ".join(kinds) if all(kinds) else ""

"""Plain text: of what a model reads, nothing that nobody sees; of what it writes, nothing that acts.

An answer is text for every client. Whatever would fetch something by being shown (images, frames), or carry words
away by being clicked (links), is reduced to its words.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from doran.text import policy

_SCHEME: Final = r"(?:[A-Za-z][A-Za-z0-9+.-]{1,20}:/+|javascript:|vbscript:|data:[a-z]+/|www\.)"
NOT_IN_ADDRESS: Final = r"\s<>\"'`|\\^{}()\[\]\u3000-\u303f\uac00-\ud7a3"
ADDRESS: Final = re.compile(rf"(?<![A-Za-z0-9+.-]){_SCHEME}[^{NOT_IN_ADDRESS}]+", re.IGNORECASE)
_IMAGE: Final = re.compile(
    r"!\[([^\[\]\n]{0,500})\](?:\([^()\n]{0,2000}(?:\([^()\n]{0,500}\)[^()\n]{0,500})?\)|\[[^\[\]\n]{0,200}\])?"
)
_LINK: Final = re.compile(
    r"\[([^\[\]\n]{1,500})\]\(\s*(<?(?:[A-Za-z][A-Za-z0-9+.-]{0,20}:|[/#.]|[\w-]+\.)[^()\n]{0,2000}(?:\([^()\n]{0,500}\)[^()\n]{0,500})?)\)"
)
_DEFINED: Final = re.compile(
    r"^ {0,3}\[[^\[\]\n]{1,200}\]:[ \t]*<?(?:[A-Za-z][A-Za-z0-9+.-]{1,20}:|www\.|/).*$", re.MULTILINE
)
_HOST: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:/+)?(?:[^/@]*@)?([\w.-]*)")
FETCHING: Final = (
    "a|img|image|picture|source|iframe|frame|embed|object|link|meta|base|script|style|svg|video|audio|track|form|input"
    "|button|area|map"
)
_ELEMENT: Final = re.compile(rf"</?(?:{FETCHING})(?:[\s/][^<>]{{0,4000}})?>", re.IGNORECASE)
_HALF: Final = re.compile(
    rf"<(?=\s*/?\s*(?:{FETCHING})(?:[\s/>]|\Z))|!(?=\[)|(?<=\])\((?=\s*<?(?:[A-Za-z][A-Za-z0-9+.-]{{0,20}}:|//|www\.))",
    re.IGNORECASE,
)
"""Where markup begins that has no end we know of."""
_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[ \t]+", re.MULTILINE)
STRONG: Final = re.compile(r"\*\*(?=\S)([^*\n]{1,500})(?<=\S)\*\*")
_MANY_LINES: Final = re.compile(r"\n{3,}")


def visible(text: str) -> str:
    """Return the composed text without what nobody sees: zero-width, direction, tag and control characters.

    Newlines and tabs stay, and what emoji, flags and joined letters need (text/policy.py).
    """
    return policy.visible(policy.compose(text.replace("\r\n", "\n")))


def plain(text: str, *, known: Collection[str] = ()) -> str:
    """An answer without markup, images, links, and what nobody sees. Addresses of `known` stay, others lose all but their host."""
    words = _inert(policy.compose(visible(text)), known)
    return _MANY_LINES.sub("\n\n", STRONG.sub(r"\1", _HEADING.sub("", words))).strip()


def inert(text: str, *, known: Collection[str] = ()) -> str:
    """As `plain`, for another version of somebody's own text: only what would act goes."""
    return _inert(policy.compose(visible(text)), known).strip()


def addresses(text: str) -> frozenset[str]:
    """The web addresses in a text."""
    return frozenset(_ended(match[0])[0] for match in ADDRESS.finditer(text))


def shortened(text: str, most: int) -> str:
    """The text in at most so many characters, ended at a sentence or a word, with a sign that there was more."""
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    end = max((match.end() for match in _SENTENCE.finditer(cut)), default=0)
    if end < most // 2:
        end = max(cut.rfind(" "), cut.rfind("\n")) if " " in cut[most // 2 :] or "\n" in cut[most // 2 :] else len(cut)
    return cut[:end].rstrip() + "…"


_SENTENCE: Final = re.compile(r"[.!?。！？…]+(?=\s)|\n")


def _inert(text: str, known: Collection[str]) -> str:
    """Whole markup goes as often as there is any, also what only came about by that; at last its mere beginnings."""
    while True:
        while (less := _reduced(text, known)) != text:
            text = less
        if (less := _HALF.sub("", text)) == text:
            return text
        text = less


def _reduced(text: str, known: Collection[str]) -> str:
    text = _ELEMENT.sub("", text)
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(lambda link: _link(link, known), text)
    text = _DEFINED.sub("", text)
    return ADDRESS.sub(lambda address: _address(address[0], known), text)


def _link(link: re.Match[str], known: Collection[str]) -> str:
    """`[words](address)`: the words, and the address too where it was known before."""
    words, address = link[1], link[2].strip("<> ")
    return f"{words} ({address})" if address in known and words != address else words


def _address(address: str, known: Collection[str]) -> str:
    """An address as it stands where it was known before; else its host, which is a word and fetches nothing."""
    address, rest = _ended(address)
    if address in known:
        return address + rest
    host = _HOST.match(address) if ":/" in address or address.lower().startswith("www.") else None
    return (host[1].lower().removeprefix("www.").strip(".") if host else "") + rest


def _ended(address: str) -> tuple[str, str]:
    """An address and the punctuation behind it that belongs to the sentence."""
    core = address.rstrip(".,;:!?…。")
    return core, address[len(core) :]

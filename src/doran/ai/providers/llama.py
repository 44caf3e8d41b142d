"""A process that answers with one GGUF model on this machine, for as long as whoever started it holds its standard input.

    python -m doran.ai.providers.llama MODEL.gguf CONTEXT

It reads its key from the first line, says its address in the first line of its own, and is spoken to by OpenAI's wire.
"""

from __future__ import annotations

import os
import sys
from typing import Any

LEAST_HTTP_THREADS = 4
CACHE_MIB = 64
SEED = 7


def main() -> None:
    model, context = sys.argv[1], int(sys.argv[2])
    key = sys.stdin.readline().strip()
    os.nice(5)  # who chats goes first
    server = _opened(model, context, key)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # what is under way is for nobody any more


def _opened(model: str, context: int, key: str) -> Any:
    from xllamacpp import Server

    return Server(_parameters(model, context, key))


def _parameters(model: str, context: int, key: str) -> Any:
    """One question at a time, on all cores but one, behind a key, and silent: its log would hold people's words."""
    from xllamacpp import CommonParams

    given = CommonParams()
    given.model.path = model
    given.hostnames, given.port, given.api_keys = ["127.0.0.1"], 0, [key]
    given.n_ctx, given.n_parallel, given.cache_ram_mib = context, 1, CACHE_MIB
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) - 1)
    given.n_threads_http = LEAST_HTTP_THREADS
    given.verbosity = -1
    given.warmup = given.ui = given.endpoint_slots = given.endpoint_props = given.endpoint_metrics = False
    given.offline = True
    # A model of this size goes round in circles where nothing keeps it from that: 1,500 tokens instead of 40.
    given.sampling.dry_multiplier, given.sampling.penalty_repeat, given.sampling.seed = 0.8, 1.1, SEED
    return given


if __name__ == "__main__":
    main()

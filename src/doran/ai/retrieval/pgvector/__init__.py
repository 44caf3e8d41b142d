"""pgvector: where PostgreSQL has it, the database itself compares (docs/adr/0021).

For that it holds vectors and tokens a second time, in a table of its own beside `Embedding`: that one is on every engine
and stays the truth, so the extension may come and go.
"""

from doran.ai.retrieval.pgvector.looking import found
from doran.ai.retrieval.pgvector.table import complete, is_ready, keep, make, may_come, told

__all__ = ["complete", "found", "is_ready", "keep", "make", "may_come", "told"]

"""Looking: what is near a question and what shares its words, as the database finds it. Nothing is left out.

No index of vectors is asked: one would look at everybody's and might miss some of one person's (docs/adr/0021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db import connections

from doran.ai.privacy import consents
from doran.ai.privacy.places import DATABASE
from doran.ai.retrieval import grams, matching, vectors
from doran.ai.retrieval.pgvector.table import literal, signed
from doran.ai.retrieval.ranking import FROM_EACH, Found, ordered
from doran.ai.retrieval.vectors import SIZE

_NEAR: Final = """
SELECT message_id, message_version, -(vector <#> %s::halfvec) AS near FROM ai_nearby
WHERE {mine} AND vector_dims(vector) = %s ORDER BY near DESC, message_id COLLATE "C" DESC LIMIT %s
"""
_SHARING: Final = "SELECT message_id, message_version, grams FROM ai_nearby WHERE {mine} AND tokens && %s::integer[]"
_MANY: Final = "SELECT count(*) FROM ai_nearby WHERE {mine}"


class Mine(NamedTuple):
    """What one person may see, of one model, as SQL."""

    user_id: str
    model: str

    def rows(self, statement: str, *values: Any, first: Sequence[Any] = ()) -> list[Any]:
        mine = consents.remembered(self.user_id).values("id").query
        said, given = mine.get_compiler(DATABASE).as_sql()
        where = f"conversation_id = ANY(ARRAY({said})) AND model = %s"
        with connections[DATABASE].cursor() as cursor:
            cursor.execute(statement.format(mine=where), [*first, *given, self.model, *values])
            return list(cursor.fetchall())


def found(user_id: str, query: str, vector: bytes, *, model: str) -> list[Found]:
    """What this person may see that has anything to do with the query, the best first; of equal ones the newest."""
    mine, versions = Mine(user_id, model), dict[str, int]()
    by_words, by_meaning = _sharing(mine, query, versions), _near(mine, vector, versions)
    return ordered(by_words, by_meaning, versions)


def _near(mine: Mine, vector: bytes, versions: dict[str, int]) -> dict[str, float]:
    """The best by their meaning; their versions are noted."""
    if not vector:
        return {}
    rows = mine.rows(_NEAR, len(vector) // SIZE, FROM_EACH, first=[literal(vector)])
    versions |= {message_id: version for message_id, version, _ in rows}
    return {message_id: near for message_id, _, near in rows}


def _sharing(mine: Mine, query: str, versions: dict[str, int]) -> dict[str, float]:
    """The best by their words: those that have any are told by the database, and weighed here."""
    wanted = grams.wanted(query)
    rows = mine.rows(_SHARING, signed(wanted)) if wanted else []
    if not rows:
        return {}
    versions |= {message_id: version for message_id, version, _ in rows}
    hits = matching.hits([bytes(said) for *_, said in rows], wanted)
    shares = matching.shares([hits], wanted, of=mine.rows(_MANY)[0][0])
    return vectors.best(shares, [message_id for message_id, *_ in rows], above=0.0, most=FROM_EACH)

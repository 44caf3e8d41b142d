"""REST calls about what the AI may do with people's words."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from doran.ai.privacy import consents, disclosures, export, views
from doran.ai.privacy.views import DisclosureList, Export
from doran.contracts.frames import ConsentScope, ConsentView
from doran.kernel.http import Api, Json, Query, offers, route


class Allow(msgspec.Struct, forbid_unknown_fields=True):
    """`on_demand`: what one of you asks about may be read for that. `history`: it may also be kept for finding things."""

    scope: ConsentScope


class DisclosuresQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Those before a line of the list."""

    before: Annotated[str, Meta(max_length=64)] | None = None
    page_size: Annotated[int, Meta(ge=1, le=100)] = 20


class OneConsent(Api):
    @offers()
    def get(self) -> ConsentView:
        """What the two of us allow the AI in a conversation, and who would read it."""
        return consents.of(self.kwargs["conversation_id"], self.principal.user_id)

    @offers()
    def put(self, parsed_body: Json[Allow]) -> ConsentView:
        """Allow the AI more, or less, in a conversation of mine; at once."""
        return consents.change(self.kwargs["conversation_id"], self.principal.user_id, parsed_body.scope)


class Disclosures(Api):
    @offers()
    def get(self, parsed_query: Query[DisclosuresQuery]) -> DisclosureList:
        """Where words of mine went, newest first."""
        found, before = disclosures.listed(
            self.principal.user_id, before=parsed_query.before, most=parsed_query.page_size
        )
        return DisclosureList([views.disclosure(one) for one in found], self.link(before=before) if before else None)


class OwnExport(Api):
    @offers()
    def get(self) -> Export:
        """All that the AI keeps of me."""
        return export.export(self.principal.user_id)


ROUTES: Final = (
    route("api/ai/consents/<id:conversation_id>/", OneConsent),
    route("api/ai/disclosures/", Disclosures),
    route("api/ai/export/", OwnExport),
)

"""The REST edge: paths declared as typed classes, refusals as problem details, one OpenAPI document.

A service's `http.py` declares its calls and ends with their table:

    class StartConversation(msgspec.Struct, forbid_unknown_fields=True):
        participant_id: str

    class Conversations(Api):
        @offers({201: ConversationView, 200: ConversationView}, problems=("person_unavailable",))
        def post(self, parsed_body: Json[StartConversation]) -> Answer:
            \"\"\"Start a conversation, or find the one there is.\"\"\"
            found, is_new = conversations.between(self.principal.user_id, parsed_body.participant_id)
            return self.answer(view(found), status=201 if is_new else 200)

    class OneConversation(Api):
        @offers()
        def get(self) -> ConversationView:
            \"\"\"One conversation with its newest messages.\"\"\"
            return conversations.for_member(self.kwargs["conversation_id"], self.principal.user_id)

    ROUTES = (
        route("api/chat/conversations/", Conversations),
        route("api/chat/conversations/<id:conversation_id>/", OneConversation),
    )

Wrong bodies never reach a method; a method refuses by raising `Problem`. Beneath is django-modern-rest
(docs/adr/0005-rest-layer.md).
"""

from dmr import Query
from dmr.plugins.msgspec import BodyMsgspec as Json

from doran.kernel.http.docs import documents
from doran.kernel.http.edge import Answer, Api, Page, PageQuery, offers
from doran.kernel.http.operator import OFF, OperatorApi
from doran.kernel.http.problems import handler400, handler403, handler404, handler500, refusal
from doran.kernel.http.routes import Route, route, urls

__all__ = [
    "OFF",
    "Answer",
    "Api",
    "Json",
    "OperatorApi",
    "Page",
    "PageQuery",
    "Query",
    "Route",
    "documents",
    "handler400",
    "handler403",
    "handler404",
    "handler500",
    "offers",
    "refusal",
    "route",
    "urls",
]

"""The operator's REST calls for webhooks: parse, one call inward, answer. The table is at the end."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doran.contracts.errors import invalid
from doran.core.webhooks import deliveries, endpoints, pruning, replays, views
from doran.core.webhooks.replays import Replayed
from doran.core.webhooks.views import (
    DeliveryList,
    DeliveryState,
    EndpointList,
    EndpointView,
    NewEndpoint,
    NewSecret,
    Ordering,
    ReplayView,
    TestSent,
)
from doran.kernel.http import OFF, Json, OperatorApi, Query, offers, route

Url = Annotated[str, Meta(max_length=2000, description="https, on the public internet, one of the allowed ports.")]
EventTypes = Annotated[
    list[Annotated[str, Meta(max_length=64)]],
    Meta(min_length=1, max_length=100, description="Names of the events table, or `*` alone for all."),
]
Description = Annotated[str, Meta(max_length=1000)]
Moment = Annotated[datetime, Meta(tz=True)]


class Register(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`ordering`: events of one `key` come one after another, or all events of the `endpoint` do."""

    url: Url
    event_types: EventTypes
    description: Description = ""
    ordering: Ordering = "key"
    enabled: bool = True


class Change(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is left out stays as it is."""

    url: Url | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET

    def fields(self) -> dict[str, Any]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class Rotate(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`at_once` where the old secret got into wrong hands: it signs no more."""

    at_once: bool = False


class Replay(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One of these: one event, all that were given up, or all recorded from a moment on."""

    event_id: Annotated[str, Meta(max_length=64)] | None = None
    failed: bool = False
    since: Moment | None = None

    def chosen(self, endpoint_id: str) -> Replayed:
        if [self.event_id is not None, self.failed, self.since is not None].count(True) != 1:
            raise invalid("since", "Say one of event_id, failed and since.")
        if self.event_id is not None:
            return replays.event(endpoint_id, self.event_id)
        return replays.failed(endpoint_id) if self.since is None else replays.since(endpoint_id, self.since)


class DeliveriesQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which deliveries: of one state, of one event, those before a place in the list."""

    state: DeliveryState | None = None
    event_id: Annotated[str, Meta(max_length=64)] | None = None
    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    page_size: Annotated[int, Meta(ge=1, le=100)] = 20


class Webhooks(OperatorApi):
    @offers(problems=(OFF,))
    def get(self) -> EndpointList:
        """Every endpoint, with its health."""
        return EndpointList([views.endpoint(one) for one in endpoints.listed()])

    @offers(status=201, problems=(OFF, "conflict"))
    def post(self, parsed_body: Json[Register]) -> NewEndpoint:
        """Register an endpoint. Its secret is shown now and never again."""
        made, secret = endpoints.register(**msgspec.structs.asdict(parsed_body))
        return NewEndpoint(views.endpoint(made), secret)


class OneWebhook(OperatorApi):
    @offers(problems=(OFF,))
    def get(self) -> EndpointView:
        """One endpoint, with its health."""
        return views.endpoint(endpoints.get(self.kwargs["endpoint_id"]))

    @offers(problems=(OFF,))
    def patch(self, parsed_body: Json[Change]) -> EndpointView:
        """Change an endpoint, switch it off or on."""
        return views.endpoint(endpoints.change(self.kwargs["endpoint_id"], parsed_body.fields()))

    @offers(status=204, problems=(OFF,))
    def delete(self) -> None:
        """Forget an endpoint and all that it was owed."""
        pruning.remove(self.kwargs["endpoint_id"])


class Rotation(OperatorApi):
    @offers(problems=(OFF,))
    def post(self, parsed_body: Json[Rotate]) -> NewSecret:
        """A new secret. The old one signs beside it for a while."""
        return NewSecret(*endpoints.rotate(self.kwargs["endpoint_id"], at_once=parsed_body.at_once))


class Deliveries(OperatorApi):
    @offers(problems=(OFF,))
    def get(self, parsed_query: Query[DeliveriesQuery]) -> DeliveryList:
        """What became of the events, the newest first."""
        found, before = deliveries.listed(self.kwargs["endpoint_id"], **msgspec.structs.asdict(parsed_query))
        return DeliveryList([views.delivery(one) for one in found], self.link(before=before) if before else None)


class Replays(OperatorApi):
    @offers(status=202, problems=(OFF, "conflict"))
    def post(self, parsed_body: Json[Replay]) -> ReplayView:
        """Send events again, with the ids they had."""
        return views.replay(parsed_body.chosen(self.kwargs["endpoint_id"]))


class Tests(OperatorApi):
    @offers(status=202, problems=(OFF, "conflict"))
    def post(self) -> TestSent:
        """Send a `webhook.test`; what became of it is among the deliveries."""
        return TestSent(replays.test(self.kwargs["endpoint_id"]))


ROUTES = (
    route("api/core/webhooks/", Webhooks),
    route("api/core/webhooks/<id:endpoint_id>/", OneWebhook),
    route("api/core/webhooks/<id:endpoint_id>/rotate/", Rotation),
    route("api/core/webhooks/<id:endpoint_id>/deliveries/", Deliveries),
    route("api/core/webhooks/<id:endpoint_id>/replay/", Replays),
    route("api/core/webhooks/<id:endpoint_id>/test/", Tests),
)

"""Calls for the operator alone: there is one token for them, in the settings, and without it they are off."""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, Final

from dmr import Controller
from dmr.endpoint import Endpoint
from dmr.openapi.objects import Reference, SecurityRequirement, SecurityScheme
from dmr.security import SyncAuth

from doran.contracts.errors import Problem
from doran.kernel import config
from doran.kernel.auth import bearer
from doran.kernel.http.edge import Api, count_call

OFF: Final = "operator_api_off"


class OperatorToken(SyncAuth):
    """Lets in who sends the operator's token."""

    __slots__ = ()

    @property
    def www_authenticate_challenge(self) -> str | None:
        return "Bearer"

    def security_schemes(self, *_: Any) -> dict[str, SecurityScheme | Reference]:
        return {"operator": SecurityScheme(type="http", scheme="bearer", description="The setting operator_token.")}

    def security_requirements(self, *_: Any) -> list[SecurityRequirement]:
        return [{"operator": []}]

    def __call__(self, endpoint: Endpoint, controller: Controller[Any]) -> OperatorToken:
        count_call(controller.client_address)  # type: ignore[attr-defined]  # every controller here is an Api
        known = config.current().operator_token
        if not known:
            raise Problem(OFF)
        said = bearer(controller.request.META.get("HTTP_AUTHORIZATION"))
        if not hmac.compare_digest(said.encode(), known.encode()):
            raise Problem("not_authenticated", "Send the operator's token.")
        return self


class OperatorApi(Api):
    """A path for the operator. Each method says that it may be off: `problems=(OFF, …)`."""

    is_abstract: ClassVar[bool] = True
    auth = (OperatorToken(),)

"""What a process leans on, asked for real and in bounded time: Redis, the bus, the services elsewhere, what is sealed.

Nothing is declared, stored or changed anywhere. No sentence holds a secret: hosts and ports are named, never URLs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from doran.contracts.errors import Problem
from doran.kernel import guessing, siblings
from doran.kernel.bus import opening
from doran.kernel.config import BadSetting, Config
from doran.kernel.jwks import BadKeySet, JwksUrl, KeysUnavailable, look_over
from doran.server import folder, neighbours
from doran.server.production import Finding

SECONDS: Final = 3.0
"""How long any one of them may take."""
_DENIED: Final = ("auth", "access", "permission", "denied", "noperm", "wrongpass", "notallowed")


def findings(config: Config) -> Iterator[Finding]:
    """Ask each dependency. Django must be awake, with these settings in force."""
    if config.redis:
        yield _answer("Redis", config.redis, lambda: _ping(config.redis))
    if config.bus not in ("", "memory:"):
        yield _answer("bus", config.bus, lambda: opening.ask(config.bus, seconds=SECONDS))
    yield from _services(config)
    if "core" in config.services:
        yield from _proofs_known(config)
        yield from _sealed(config)


def _answer(name: str, url: str, ask: Callable[[], None]) -> Finding:
    """What comes of asking an engine at this URL."""
    place = where(url)
    try:
        ask()
    except BadSetting as wrong:
        return Finding(name, "NO", f"{wrong}")
    except TimeoutError:
        return Finding(name, "NO", f"{place} does not answer within {SECONDS:g} s")
    except Exception as wrong:  # each driver has classes of its own; the kind is all that is said
        return Finding(name, "NO", _refusal(place, wrong))
    return Finding(name, "ok", f"{place} answers and takes our account")


def _refusal(place: str, wrong: Exception) -> str:
    kinds = f"{type(wrong).__name__} {type(wrong.__cause__).__name__} {str(wrong)[:200]}".lower()
    if any(word in kinds for word in _DENIED):
        return f"{place} refuses the account or its password"
    if "timeout" in kinds or "timed out" in kinds:
        return f"{place} does not answer within {SECONDS:g} s"
    return f"{place} cannot be reached or does not speak this protocol ({type(wrong).__name__})"


def where(url: str) -> str:
    """Host and port of a URL, or the path of a socket; nothing of its account."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _ping(url: str) -> None:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    with Redis.from_url(
        url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=Retry(NoBackoff(), 0)
    ) as client:
        client.ping()


# -- services elsewhere ------------------------------------------------------------------------------


def _services(config: Config) -> Iterator[Finding]:
    for name in sorted(neighbours.elsewhere(config)):
        url = getattr(config, f"{name}_url")
        if not url:
            continue  # a neighbour that is not set is another finding
        if (said := _lives(name)) is not None:
            yield Finding(name, "NO", f"{url} {said}")
        elif name == "core":
            yield _keys(url)
            yield from _proofs(config, url)
        else:
            yield Finding(name, "ok", f"{url} answers")


def _lives(name: str) -> str | None:
    try:
        status, answer = siblings.get(name, "/health/live")
    except Problem:
        return "does not answer as a Doran does"
    is_ours = status == 200 and isinstance(answer, dict) and "status" in answer
    return None if is_ours else f"answers {status}, not as a Doran does"


def _keys(url: str) -> Finding:
    try:
        return Finding("core", "ok", f"{url} answers; {look_over(JwksUrl(f'{url}/.well-known/jwks.json')())}")
    except (BadKeySet, KeysUnavailable) as wrong:
        return Finding("core", "NO", f"{url} gives no keys to verify tokens by: {wrong}")


def _proofs(config: Config, url: str) -> Iterator[Finding]:
    """Whether core knows each of these services by its secret, and signs under the name that is expected here."""
    for service in config.services:
        if "core" in neighbours.NEEDS[service] and config.service_secret:
            yield _proof(config, service, url)
    try:
        _, said = siblings.get("core", "/.well-known/openid-configuration")
    except Problem:
        return
    issuer = said.get("issuer") if isinstance(said, dict) else None
    if issuer != config.issuer_name:
        yield Finding(
            "core", "NO", f"{url} signs tokens as {issuer}, and {config.issuer_name} is expected: DORAN_PUBLIC_URL "
            "must be the same everywhere",
        )  # fmt: skip


def _proof(config: Config, service: str, url: str) -> Finding:
    try:
        status = siblings.prove(service, config.service_secret, audience="core")
    except Problem:
        return Finding("service secret", "NO", f"{url} could not be asked whether it knows {service}")
    if status == 200:
        return Finding("service secret", "ok", f"core knows {service} by it")
    return Finding(
        "service secret",
        "NO",
        f"core does not know {service} by DORAN_SERVICE_SECRET ({status}): core's DORAN_SERVICE_SECRETS must hold the "
        f"hash that `doran service-secret {service}` showed with it",
    )


def _proofs_known(config: Config) -> Iterator[Finding]:
    """Core's side: the services that run elsewhere must be able to prove themselves."""
    known = {name for name, _ in config.service_secrets}
    for name, needs in neighbours.NEEDS.items():
        url = getattr(config, f"{name}_url")
        if url and name not in config.services and "core" in needs and name not in known:
            yield Finding(
                "service secret",
                "NO",
                f"DORAN_SERVICE_SECRETS has no hash for {name} at {url}, so core gives it no token: "
                f"`doran service-secret {name}` makes one",
            )


# -- what is sealed ----------------------------------------------------------------------------------


def _sealed(config: Config) -> Iterator[Finding]:
    """Whether the secret key opens what core's database keeps sealed. A database that does not open says so itself."""
    from django.db import DatabaseError

    from doran.core import keys
    from doran.kernel import config as settings

    if not folder.is_there("core", config):
        return
    secret = _secret(config)
    if secret and (weak := guessing.weakness(secret, least=32)) and "secret_key" not in config.given:
        yield Finding("secret key", "NO", f"the one in {config.data} {weak}")
    settings.use(config.replace(secret_key=secret))
    try:
        count = keys.open_all()
    except BadSetting as wrong:
        yield Finding("secret key", "NO", f"{wrong}: give the one that the servers have")
    except DatabaseError:
        return
    else:
        yield Finding("secret key", "ok", f"opens what is sealed ({count} keys)" if count else "nothing is sealed yet")
    finally:
        settings.use(config)


def _secret(config: Config) -> str:
    file = Path(config.data) / folder.SECRET
    if config.secret_key or not file.exists():
        return str(config.secret_key)
    return file.read_text(encoding="ascii", errors="replace").strip()

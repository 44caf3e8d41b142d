"""Calls to addresses that somebody else chose: they never reach what is ours, and nobody holds them up."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

import pytest

from doran.kernel import config
from doran.kernel.config import BadSetting
from doran.kernel.outward import Failed, NotAllowed, Outward, Rules, calling, rules, target
from tests.receiver import Authority, Receiver, Reply, receiving

pytestmark = pytest.mark.stateless

STRICT = Rules(ports=frozenset({443, 8443}))
HERE = Rules(ports=frozenset({443}), loopback=True)
PUBLIC = "93.184.216.34"


# -- how an address must be written ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://hooks.example.com", "hooks.example.com", 443, "/"),
        ("https://Hooks.Example.COM:8443/chat?to=us", "hooks.example.com", 8443, "/chat?to=us"),
        ("https://hooks.example.com?a=%20b", "hooks.example.com", 443, "/?a=%20b"),
        ("https://xn--3e0b707e.xn--3e0b707e/", "xn--3e0b707e.xn--3e0b707e", 443, "/"),
        ("https://93.184.216.34/", PUBLIC, 443, "/"),
        ("https://[2606:2800:220:1::1]:8443/", "2606:2800:220:1::1", 8443, "/"),
    ],
)
def test_an_address_on_the_public_internet_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    found = target(url, STRICT)
    assert (found.scheme, found.host, found.port, found.path) == ("https", host, port, path)


NASTY = [
    "",
    "hooks.example.com",
    "//hooks.example.com/",
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "https:/hooks.example.com",
    "https:///hooks.example.com",
    "https://",
    "https://?",
    "https://user@hooks.example.com/",
    "https://user:pass@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://127.0.0.1#@hooks.example.com/",
    "https://hooks.example.com/#part",
    "https://hooks.example.com\\@127.0.0.1/",
    "https://hooks.example.com /",
    "https://hooks.example.com/\r\nX-Evil: 1",
    "https://hooks.example.com/\x00",
    "https://hooks.example.com:/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:6379/",
    "https://hooks.example.com:99999/",
    "https://hooks.example.com:443:443/",
    "https://localhost/",
    "https://localhost./",
    "https://intranet/",
    "https://hooks..example.com/",
    "https://-hooks-.example.com/",
    "https://.example.com/",
    "https://hooks.example.com./",
    f"https://{'a' * 64}.example.com/",
    f"https://hooks.example.com/{'a' * 2000}",
    # this machine and its neighbours, plainly
    "https://127.0.0.1/",
    "https://127.8.9.10/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://198.18.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::1]/",
    "https://[2001:0:7f00:1::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[::1",
    "https://::1/",
    # the same in disguise
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://1.1.1.1.1/",
    "https://93.184.216.034/",
    "https://127.0.0.1./",
    "https://１２７.０.０.１/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://ⓛocalhost/",
    "https://loc\u00adalhost.example.com/",
    "https://exam\u200bple.com/",
    "https://한국.한국/",
    "https://%31%32%37.0.0.1/",
    "https://hooks%2eexample.com/",
]


@pytest.mark.parametrize("url", NASTY, ids=lambda url: ascii(url)[:60])
def test_any_other_address_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        target(url, STRICT)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://localhost:1/x", "https://[::1]:9/"])
def test_this_machine_is_reached_only_where_the_setting_says_so(url: str) -> None:
    assert target(url, HERE).host in ("127.0.0.1", "localhost", "::1")
    with pytest.raises(NotAllowed):
        target(url, STRICT)


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "http://10.0.0.1/", "https://hooks.example.com:22/"])
def test_the_setting_opens_this_machine_and_nothing_else(url: str) -> None:
    with pytest.raises(NotAllowed):
        target(url, HERE)


def test_a_private_network_can_be_opened_but_not_the_metadata_in_it() -> None:
    open_here = Rules(networks=(ip_network("10.1.0.0/16"), ip_network("100.64.0.0/10"), ip_network("fc00::/7")))
    for address, is_allowed in {
        "10.1.2.3": True, "10.2.0.1": False, "100.100.1.1": True, "fd12::1": True,
        "100.100.100.200": False, "fd00:ec2::254": False, "127.0.0.1": False, "169.254.169.254": False,
    }.items():  # fmt: skip
        assert open_here.allow(ip_address(address)) is is_allowed, address


def test_settings_become_rules_and_wrong_ones_are_refused() -> None:
    made = rules(config.load({"DORAN_OUTWARD_NETWORKS": "10.1.0.0/16, fd12::/16", "DORAN_OUTWARD_PORTS": "443,9443"}))
    assert (made.ports, len(made.networks), made.loopback) == (frozenset({443, 9443}), 2, False)
    for name, text in {
        "DORAN_OUTWARD_NETWORKS": "127.0.0.0/8", "DORAN_OUTWARD_PORTS": "0",
    }.items():  # fmt: skip
        with pytest.raises(BadSetting):
            config.load({name: text})
    for wide in ("0.0.0.0/0", "169.254.0.0/16", "::/0", "8.8.8.8"):
        with pytest.raises(BadSetting):
            config.load({"DORAN_OUTWARD_NETWORKS": wide})


# -- where the connection really goes ----------------------------------------------------------------


class Names:
    """A name server: each question gets the next answer, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


class Wires:
    """Remembers which addresses a connection was opened to, and opens none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []

        async def connect_tcp(_: object, host: str, port: int, **__: object) -> object:
            self.opened.append(host)
            raise calling.httpcore2.ConnectError

        monkeypatch.setattr(calling.httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Wires:
    return Wires(monkeypatch)


@asynccontextmanager
async def outward(rules: Rules, *, seconds: float = 5.0, **more: object) -> AsyncIterator[Outward]:
    calls = Outward(rules, seconds=seconds, **more)  # type: ignore[arg-type]
    try:
        yield calls
    finally:
        await calls.close()


async def tries(url: str, rules: Rules, names: Callable[[str], Sequence[str]]) -> str:
    """Why the call failed."""
    async with outward(rules, resolve=names) as calls:
        with pytest.raises(Failed) as failed:
            await calls.call("POST", target(url, rules), headers={}, most_bytes=0)
        return failed.value.reason


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1%eth0",
        "64:ff9b::7f00:1", "2002:7f00:1::", "fd00::1", "ff02::1", "not an address",
    ],
)  # fmt: skip
async def test_a_name_for_an_address_of_ours_leads_nowhere(address: str, wires: Wires) -> None:
    assert await tries("https://hooks.example.com/", STRICT, Names([address])) == "not_allowed"
    assert await tries("https://hooks.example.com/", STRICT, Names([PUBLIC, address])) == "not_allowed"
    assert wires.opened == []


async def test_a_name_that_changes_its_mind_is_asked_once(wires: Wires) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    assert await tries("https://hooks.example.com/", STRICT, names) == "no_connection"
    assert (names.asked, wires.opened) == (["hooks.example.com"], [PUBLIC])


async def test_every_address_of_a_name_is_tried_but_not_for_ever(wires: Wires) -> None:
    addresses = [f"93.184.216.{number}" for number in range(1, 40)]
    assert await tries("https://hooks.example.com/", STRICT, Names(addresses)) == "no_connection"
    assert wires.opened == addresses[:4]


async def test_a_name_that_nobody_knows_is_said_so(wires: Wires) -> None:
    assert await tries("https://hooks.example.com/", STRICT, Names([])) == "no_address"
    assert wires.opened == []


async def test_a_name_server_that_hangs_holds_nobody_up() -> None:
    hanging = threading.Event()

    def names(_: str) -> Sequence[str]:
        hanging.wait(20)
        return []

    async with outward(STRICT, resolve=names, seconds=0.2) as calls:
        with pytest.raises(Failed, match="timeout"):
            await calls.call("POST", target("https://hooks.example.com/", STRICT), headers={}, most_bytes=0)
    hanging.set()


# -- over TLS, with the right name -------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def named(receiver: Receiver, name: str = "hooks.example.test") -> str:
    return f"https://{name}:{receiver.port}/chat"


async def test_the_name_is_asked_for_and_proved_at_the_checked_address(authority: Authority) -> None:
    server = authority.vouches_for("hooks.example.test")
    asked: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    with receiving(tls=server) as receiver:
        here = Rules(ports=frozenset({receiver.port}), loopback=True)
        async with outward(here, resolve=Names(["127.0.0.1"]), trust=authority.trusted()) as calls:
            answer = await calls.call(
                "POST", target(named(receiver), here), headers={"X-Said": "hello"}, body=b"{}", most_bytes=0
            )
        [request] = receiver.requests
    assert (answer.status, asked) == (204, ["hooks.example.test"])
    assert request.headers["host"] == f"hooks.example.test:{receiver.port}"
    assert (request.headers["x-said"], request.headers["accept-encoding"], request.body) == ("hello", "identity", b"{}")


async def test_who_cannot_prove_the_name_gets_nothing(authority: Authority) -> None:
    with receiving(tls=authority.vouches_for("somebody.example.test")) as receiver:
        here = Rules(ports=frozenset({receiver.port}), loopback=True)
        for trust in (authority.trusted(), ssl.create_default_context()):
            async with outward(here, resolve=Names(["127.0.0.1"]), trust=trust) as calls:
                with pytest.raises(Failed, match="certificate"):
                    await calls.call("POST", target(named(receiver), here), headers={}, body=b"secret", most_bytes=0)
        assert receiver.requests == []


async def test_who_speaks_no_tls_is_told_apart() -> None:
    with receiving() as receiver:
        here = Rules(ports=frozenset({receiver.port}), loopback=True)
        url = f"https://127.0.0.1:{receiver.port}/"
        assert await tries(url, here, Names(["127.0.0.1"])) in ("tls", "broken_answer")
        assert receiver.requests == []


# -- what comes back -----------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


async def asks(receiver: Receiver, *, seconds: float = 5.0, most_bytes: int = 1000) -> calling.Answer:
    async with outward(HERE, seconds=seconds) as calls:
        return await calls.call("POST", target(receiver.url, HERE), headers={}, body=b"{}", most_bytes=most_bytes)


@pytest.mark.parametrize("status", [200, 204, 302, 410, 429, 500])
async def test_every_status_is_an_answer_and_no_redirect_is_followed(status: int, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(status, location=f"{receiver.url}/elsewhere", retry_after="7")
    answer = await asks(receiver)
    assert (answer.status, answer.headers["retry-after"], answer.is_whole) == (status, "7", True)
    assert [request.path for request in receiver.requests] == ["/"]


async def test_no_more_is_read_than_was_wanted(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(200, b"a" * 5_000_000)
    answer = await asks(receiver)
    assert (answer.body, answer.is_whole) == (b"a" * 1000, False)


async def test_what_is_packed_stays_packed(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(200, b"\x1f\x8b not really", content_encoding="gzip")
    assert (await asks(receiver)).body == b"\x1f\x8b not really"


async def test_a_body_that_breaks_off_does_not_take_the_status_back(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    answer = await asks(receiver)
    assert (answer.status, answer.body, answer.is_whole) == (200, b"half", False)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(hang=True), "timeout"),
        (Reply(raw=b""), "broken_answer"),
        (Reply(raw=b"\x00\xff not HTTP at all\r\n\r\n"), "broken_answer"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 200_000), "broken_answer"),
        (Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "broken_answer"),
    ],
    ids=["hangs", "hangs up", "speaks garbage", "endless headers", "endless promises"],
)
async def test_no_answer_has_a_reason_of_ours(reply: Reply, reason: str, receiver: Receiver) -> None:
    receiver.answers = lambda _: reply
    with pytest.raises(Failed) as failed:
        await asks(receiver, seconds=0.5)
    assert failed.value.reason == reason


async def test_nobody_there_is_no_connection(receiver: Receiver) -> None:
    receiver.close()
    with pytest.raises(Failed, match="no_connection"):
        await asks(receiver)


async def test_the_environment_cannot_send_calls_elsewhere(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await asks(receiver)).status == 204
        assert proxy.requests == []


async def test_a_caller_who_gives_up_leaves_nothing_open(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(hang=True)
    async with outward(HERE) as calls:
        calling_out = asyncio.ensure_future(
            calls.call("POST", target(receiver.url, HERE), headers={}, body=b"{}", most_bytes=0)
        )
        await asyncio.to_thread(receiver.waits_for, 1)
        calling_out.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling_out
        receiver.answers = lambda _: Reply()
        assert (await calls.call("POST", target(receiver.url, HERE), headers={}, most_bytes=0)).status == 204


def test_the_systems_names_are_asked_for_this_machine() -> None:
    assert "127.0.0.1" in calling.look_up("localhost")

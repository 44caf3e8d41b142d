"""A run: people move in, live and suffer for a while, and at the end everybody reads everything."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from doran.verify.client import Gate, Lost, Unreachable
from doran.verify.connection import Refused
from doran.verify.device import Device
from doran.verify.generator import Life, Texts
from doran.verify.history import Began, Healed, Holds, Meeting, Person, Recorder
from doran.verify.memory import Account

NAMES = ("minji", "junho", "sora", "haneul", "jiwoo", "doyun", "seoyeon", "hajun")
RELOGIN_SECONDS = 240.0
"""Access tokens live ten minutes at most; devices log in anew well before."""


@dataclass
class Plan:
    """How many people do how much for how long, and what they are held to."""

    people: int = 6
    devices: int = 2
    seconds: float = 30.0
    seed: int = 1
    think_seconds: float = 0.08
    """Mean pause of a device between two deeds."""
    converge_seconds: float = 10.0
    evil: bool = True
    command: str = ""
    run: str = ""
    """A word that occurs in every name and text of the run; made up where it is empty."""


@dataclass
class House:
    """The people of a run, their devices, and who talks with whom."""

    accounts: list[Account] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)
    run: str = ""

    def secrets(self) -> dict[str, str]:
        """What must stand nowhere: the secret → what it is."""
        found = {account.password: "a password" for account in self.accounts}
        return found | {device.token: "an access token" for device in self.devices if device.token}


class Campaign:
    """One run against one server; all it learns is in the recorder."""

    def __init__(self, gate: Gate, recorder: Recorder, plan: Plan) -> None:
        self.gate = gate
        self.recorder = recorder
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.house = House(run=plan.run or f"dv{secrets.token_hex(4)}")
        self._over = False

    async def run(self, torment: Callable[[], Awaitable[object]] | None = None) -> None:
        """Move in, live until the torment is over (or for the planned time), and settle."""
        await self.move_in()
        await self.live(torment)
        await self.settle()

    # -- moving in ---------------------------------------------------------------------------

    async def move_in(self) -> None:
        """Sign up, log in on every device, and open the ring of conversations."""
        plan = self.plan
        self.recorder.note(Began(seed=plan.seed, command=plan.command, converge_seconds=plan.converge_seconds))
        for number in range(plan.people):
            self.house.accounts.append(await self._sign_up(number))
        for account in self.house.accounts:
            for number in range(plan.devices):
                self.house.devices.append(await self._unpack(account, number))
        for pair in self._ring():
            await self._introduce(*pair)

    async def _sign_up(self, number: int) -> Account:
        name = NAMES[number % len(NAMES)] + ("" if number < len(NAMES) else str(number))
        username, password = f"{name}_{self.house.run}", f"pw-{secrets.token_urlsafe(12)}"
        body = {"username": username, "password": password, "display_name": name}
        answer = await self.gate.ask("POST", "/api/core/users/", body=body)
        if answer.status != 201:
            raise Refused(f"sign-up: {answer.code}")
        account = Account(answer.body["id"], name, username, password)
        self.recorder.note(Person(user=account.id, name=name))
        return account

    async def _unpack(self, account: Account, number: int) -> Device:
        device = Device(
            account,
            f"device{number + 1}",
            self.gate,
            self.recorder,
            by_room=number % 2 == 1,
            in_band=self.rng.random() < 0.5,
        )
        await device.log_in()
        return device

    def _ring(self) -> list[tuple[Account, Account]]:
        people = self.house.accounts
        pairs = list(zip(people, people[1:] + people[:1], strict=True))
        return pairs if len(people) > 2 else pairs[:1]

    async def _introduce(self, one: Account, other: Account) -> None:
        """Open their conversation; a newcomer may take a moment to be known everywhere."""
        device = self._of(one)[0]
        body = {"participant1_id": one.id, "participant2_id": other.id}
        for _ in range(50):
            answer = await self.gate.ask("POST", "/api/chat/conversations/", token=device.token, body=body)
            if answer.status in (200, 201):
                break
            await asyncio.sleep(0.1)
        else:
            raise Refused(f"opening a conversation: {answer.code}")
        conversation = answer.body["id"]
        self.house.conversations.append(conversation)
        self.recorder.note(Meeting(conversation=conversation, people=(one.id, other.id)))
        for device in self._of(one) + self._of(other):
            device.conversations.append(conversation)

    def _of(self, account: Account) -> list[Device]:
        return [device for device in self.house.devices if device.account is account]

    # -- living ------------------------------------------------------------------------------

    async def live(self, torment: Callable[[], Awaitable[object]] | None = None) -> None:
        """Everybody does what they do, until the torment is over or the time is up."""
        lives = [
            asyncio.create_task(self._lead(self._life(device, number)))
            for number, device in enumerate(self.house.devices)
        ]
        logins = asyncio.create_task(self._stay_logged_in())
        try:
            await (asyncio.sleep(self.plan.seconds) if torment is None else torment())
        finally:
            self._over = True
            logins.cancel()
            await asyncio.gather(*lives)

    def _life(self, device: Device, number: int) -> Life:
        twins = [twin for twin in self._of(device.account) if twin is not device] or [device]
        others = [c for c in self.house.conversations if c not in device.conversations]
        return Life(
            device,
            twins[0],
            texts=Texts(f"{self.house.run}x{number}"),
            rng=random.Random(self.rng.random()),
            others=others,
            evil=self.plan.evil and bool(others),
        )

    async def _lead(self, life: Life) -> None:
        while not self._over:
            await asyncio.sleep(life.rng.expovariate(1 / self.plan.think_seconds))
            await life.act()

    async def _stay_logged_in(self) -> None:
        while True:
            await asyncio.sleep(RELOGIN_SECONDS)
            for device in self.house.devices:
                with suppress(Unreachable, Lost, Refused):
                    await device.log_in()

    # -- the end -----------------------------------------------------------------------------

    async def settle(self) -> None:
        """The last fault is over: all catch up by themselves, then fresh devices read it all."""
        self.recorder.note(Healed())
        await asyncio.gather(*(_until(device.send_pending_all) for device in self.house.devices))
        await asyncio.gather(*(_until(device.catch_up) for device in self.house.devices))
        await self._say_goodbye()
        for device in self.house.devices:
            self._confess(device, fresh=False)
        fresh = [await self._fresh(account) for account in self.house.accounts]
        for device in fresh:
            self._confess(device, fresh=True)
        await asyncio.gather(*(device.drop() for device in self.house.devices))

    async def _say_goodbye(self) -> None:
        """One more message from each device; the others must hear of it with nobody asking."""
        goodbyes = [self._goodbye(device, number) for number, device in enumerate(self.house.devices)]
        await asyncio.gather(*goodbyes)
        await asyncio.gather(*(_until(device.send_pending_all) for device in self.house.devices))
        await _until(self._all_heard)

    async def _goodbye(self, device: Device, number: int) -> None:
        texts = Texts(f"{self.house.run}x{len(self.house.devices) + number}")
        conversation = device.conversations[number // 2 % len(device.conversations)]
        await device.send(conversation, f"goodbye-{number}", texts.next(self.rng))

    async def _all_heard(self) -> bool:
        """Whether every device knows as much of each conversation as any other."""
        known: dict[str, set[int]] = {}
        for device in self.house.devices:
            for conversation, memory in device.memory.items():
                known.setdefault(conversation, set()).add(memory.last_seq)
        return all(len(seqs) == 1 for seqs in known.values())

    async def _fresh(self, account: Account) -> Device:
        """A device that starts from nothing and reads every conversation of its person."""
        device = Device(account, "fresh", self.gate, self.recorder)
        await device.log_in()
        device.conversations = list(self._of(account)[0].conversations)
        for conversation in device.conversations:
            await device.read_all(conversation)
            await device.look(conversation)
        return device

    def _confess(self, device: Device, *, fresh: bool) -> None:
        for conversation in device.conversations:
            rows = device.memory[conversation].rows if conversation in device.memory else {}
            held = Holds(
                conversation=conversation,
                rows=tuple(rows[seq] for seq in sorted(rows)),
                fresh=fresh,
                user=device.account.id,
                device=f"{device.account.name}/{device.name}",
            )
            self.recorder.note(held)


async def _until(done: Callable[[], Awaitable[bool]]) -> None:
    """As often as it takes; who never manages shows it in what their device holds."""
    for _ in range(30):
        if await done():
            return
        await asyncio.sleep(0.2)

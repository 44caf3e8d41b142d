"""What a device knows: its person, and of each conversation the rows and the mark up to which it is sure."""

from __future__ import annotations

from dataclasses import dataclass, field

from doran.verify.client import Json
from doran.verify.history import Row


@dataclass
class Account:
    """A person of the run, as the server knows them, and how to log in as them."""

    id: str
    name: str
    username: str
    password: str


@dataclass
class Memory:
    """What a device knows of a conversation: rows by seq, and the mark up to which it is sure, with its epoch."""

    rows: dict[int, Row] = field(default_factory=dict)
    cursor: int | None = None
    epoch: str = ""

    def take(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            known = self.rows.get(row.seq)
            if known is None or row.change_seq >= known.change_seq:
                self.rows[row.seq] = row

    def has_hole(self) -> bool:
        return len(self.rows) < max(self.rows, default=0)

    @property
    def last_seq(self) -> int:
        return max(self.rows, default=0)


def row_of(message: Json, conversation: str) -> Row:
    """A message as REST and frames show it, as a row of the history. Raises KeyError."""
    named = message.get("conversation_id", conversation)
    return Row(
        seq=message["seq"],
        id=message["id"],
        sender=message["sender_id"],
        body=message["content"],
        deleted=message["is_deleted"],
        change_seq=message["change_seq"],
        cmid=message.get("client_message_id"),
        elsewhere="" if named == conversation else named,
    )

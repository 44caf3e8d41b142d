"""Unread counts leave out what was deleted: two columns, filled for what is deleted and unread now.

Processes of the version before neither know nor set the columns: they go on counting deleted messages until the
member reads on.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def fill(apps: Any, schema_editor: Any) -> None:
    """Set the columns of the members who have unread deleted or hidden messages. Reads changes, not all messages."""
    database = schema_editor.connection.alias
    for member_id, (mark, seqs) in _unread_deleted(schema_editor.connection).items():
        apps.get_model("chat", "Member").objects.using(database).filter(id=member_id).update(
            unread_deleted=len(seqs), unread_deleted_after=mark
        )


def _unread_deleted(connection: Any) -> dict[int, tuple[int, set[int]]]:
    """By member: the mark, and which positions after it are deleted for everyone or hidden by the member."""
    members = (
        "SELECT m.id, m.last_read_seq, m.hidden_before_seq, x.seq FROM {} x"
        " JOIN chat_member m ON m.conversation_id = x.conversation_id"
        " AND x.seq > m.last_read_seq AND x.seq >= m.hidden_before_seq"
    )
    found: dict[int, tuple[int, set[int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            members.format("chat_messagechange")
            + " JOIN chat_message d ON d.conversation_id = x.conversation_id AND d.seq = x.seq WHERE d.is_deleted = %s",
            [True],
        )
        rows = list(cursor.fetchall())
        cursor.execute(members.format("chat_hiddenmessage") + " WHERE x.user_id = m.user_id")
        for member_id, read, hidden_before, seq in [*rows, *cursor.fetchall()]:
            found.setdefault(member_id, (max(read, hidden_before - 1), set()))[1].add(seq)
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0007_announcement"),
    ]

    operations = [
        migrations.AddField(
            model_name="member",
            name="unread_deleted",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="member",
            name="unread_deleted_after",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]

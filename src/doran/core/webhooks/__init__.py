"""Webhooks: whoever embeds Doran and runs no broker hears its events by HTTP, signed, in order, none lost.

An event is heard on the bus (`hearing`), recorded once and owed to every endpoint that asked for it
(`owing`). What an endpoint is owed of one key stands in a line (`lines`); a worker takes lines and
sends what stands in them (`worker`, `sending`, `signing`), and each result is settled (`settling`).
Operators look after endpoints (`endpoints`) by REST (`http`) or the `doran webhooks` command.
"""

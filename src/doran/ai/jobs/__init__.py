"""Jobs: asked for, looked up, cancelled; a worker does them (docs/adr/0019-ai-jobs.md).

A question waits as a row (`asking`). A worker holds it by a lease (`claiming`, `worker`), lets the recipe of its kind
do it (`work`), and writes its end in one transaction that holds only while the lease does (`ending`).
"""

from doran.ai.jobs.asking import Question, ask, ask_or_fail, cancel, list_, of

__all__ = ["Question", "ask", "ask_or_fail", "cancel", "list_", "of"]

"""The rules of a chat history: a table of small functions, each with a name and one sentence."""

from doran.verify.rules import changes, leaks, marks, order, resume, writes
from doran.verify.rules.rule import RULES, Rule, Violation

__all__ = ["RULES", "Rule", "Violation", "changes", "leaks", "marks", "order", "resume", "writes"]

"""Versions of prompts: drafted, put in force, taken out of it. What was in force once never changes."""

from __future__ import annotations

import hashlib
import json
import uuid
from string import Template
from typing import Final

from django.db import transaction
from django.db.models import Max, QuerySet

from doran.ai.models import MODEL_LENGTH, Prompt
from doran.ai.prompts.keys import KEYS
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock

DATABASE: Final = "ai"
LOCALES: Final = ("ko", "en")
MOST: Final = 20_000


def draft(key: str, locale: str, template: str, *, schema: str = "", model_hint: str = "") -> Prompt:
    """A new version, not yet in force. Raises `Problem("validation_failed")` that names what is wrong with it."""
    check(key, locale, template, schema=schema, model_hint=model_hint)
    with transaction.atomic(using=DATABASE):
        last = _family(key, locale).aggregate(last=Max("version"))["last"] or 0
        return Prompt.objects.create(
            id=clock.new_id(),
            key=key,
            locale=locale,
            version=last + 1,
            template=template,
            schema=schema,
            model_hint=model_hint,
            sha256=checksum(template, schema),
            status=Prompt.Status.DRAFT,
            created_at=clock.now(),
        )


def change(prompt_id: uuid.UUID, template: str, *, schema: str, model_hint: str) -> Prompt:
    """Other words for a draft; of a version that was in force, a draft of its own with the next number."""
    with transaction.atomic(using=DATABASE):
        known = _locked(prompt_id)
        if known.status != Prompt.Status.DRAFT:
            return draft(known.key, known.locale, template, schema=schema, model_hint=model_hint)
        check(known.key, known.locale, template, schema=schema, model_hint=model_hint)
        known.template, known.schema, known.model_hint = template, schema, model_hint
        known.sha256 = checksum(template, schema)
        known.save(update_fields=["template", "schema", "model_hint", "sha256"])
        return known


def activate(prompt_id: uuid.UUID) -> Prompt:
    """Put this version in force and take the one before out of it, in one step. An earlier version may come back."""
    with transaction.atomic(using=DATABASE):
        prompt = _locked(prompt_id)
        family = _family(prompt.key, prompt.locale)
        family.filter(status=Prompt.Status.ACTIVE).exclude(id=prompt.id).update(status=Prompt.Status.RETIRED)
        family.filter(id=prompt.id).update(status=Prompt.Status.ACTIVE)
    prompt.status = Prompt.Status.ACTIVE
    return prompt


def retire(prompt_id: uuid.UUID) -> Prompt:
    """Put a draft away. Raises `Problem("conflict")` for the version in force: another must take its place."""
    with transaction.atomic(using=DATABASE):
        prompt = _locked(prompt_id)
        if prompt.status == Prompt.Status.ACTIVE:
            raise Problem("conflict", "This version is in force. Activate another one, and this one retires.")
        prompt.status = Prompt.Status.RETIRED
        prompt.save(update_fields=["status"])
    return prompt


def of(key: str, locale: str, version: int) -> Prompt:
    """Raises `Problem("not_found")`."""
    found = Prompt.objects.filter(key=key, locale=locale, version=version).first()
    if found is None:
        raise Problem("not_found", f"There is no version {version} of {key} in {locale}.")
    return found


def checksum(template: str, schema: str) -> str:
    """What a version is known by, wherever it is noted: over its words and its schema."""
    return hashlib.sha256(f"{template}\0{schema}".encode()).hexdigest()


# -- what a version must be like ---------------------------------------------------------------------


def check(key: str, locale: str, template: str, *, schema: str = "", model_hint: str = "") -> None:
    """Raises `Problem("validation_failed")` that names the field and says what to do."""
    if key not in KEYS:
        raise invalid("key", f"Use one of {', '.join(KEYS)}.")
    if locale not in LOCALES:
        raise invalid("locale", f"Use one of {', '.join(LOCALES)}.")
    if len(model_hint) > MODEL_LENGTH:
        raise invalid("model_hint", f"At most {MODEL_LENGTH} characters.")
    _check_template(key, template)
    _check_schema(key, schema)


def _check_template(key: str, template: str) -> None:
    if not template.strip() or len(template) > MOST:
        raise invalid("template", f"Write something of at most {MOST} characters.")
    words, known = Template(template), KEYS[key].values
    used = set(words.get_identifiers()) if words.is_valid() else {"$"}
    if used - known:
        raise invalid("template", f"Only {_listed(known)} can be filled in here; a dollar sign is written $$.")
    if "fence" in known - used:
        raise invalid("template", "It must say where the data stands: use $fence.")


def _check_schema(key: str, schema: str) -> None:
    if bool(schema) != KEYS[key].is_structured:
        raise invalid(
            "schema", "This prompt needs a schema." if not schema else "Answers of this prompt are plain text."
        )
    try:
        is_object = not schema or isinstance(json.loads(schema), dict)
    except ValueError:
        raise invalid("schema", "This is not JSON.") from None
    if not is_object:
        raise invalid("schema", "A JSON Schema is an object.")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))


# -- rows --------------------------------------------------------------------------------------------


def _family(key: str, locale: str) -> QuerySet[Prompt]:
    """All versions, held until the transaction ends: whoever else wants to change them waits."""
    family = Prompt.objects.filter(key=key, locale=locale)
    list(family.select_for_update().order_by("version").values_list("id", flat=True))
    return family


def _locked(prompt_id: uuid.UUID) -> Prompt:
    known = Prompt.objects.filter(id=prompt_id).first()
    if known is None:
        raise Problem("not_found", "There is no such prompt.")
    return _family(known.key, known.locale).get(id=prompt_id)

"""Prompts in Django's admin: read, compared, drafted, put in force. What was in force is never changed, only followed.

Imported only where the setting `admin` is on (`doran.server.admin`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import lazystr
from django.utils.translation import get_language

from doran.ai.models import Prompt
from doran.ai.prompts import versions
from doran.ai.prompts.keys import KEYS
from doran.contracts.errors import Problem
from doran.kernel import config
from doran.kernel.addresses import client_address
from doran.kernel.config import Config
from doran.kernel.limits import Limiter, limiter

if TYPE_CHECKING:
    _Form: TypeAlias = forms.ModelForm[Prompt]
    _Admin: TypeAlias = admin.ModelAdmin[Prompt]
else:
    _Form, _Admin = forms.ModelForm, admin.ModelAdmin


class _Words:
    """Words of ours in the language of who looks."""

    def __init__(self, en: str, ko: str) -> None:
        self._en, self._ko = en, ko

    def __str__(self) -> str:
        return self._ko if (get_language() or "").startswith("ko") else self._en


def say(en: str, ko: str) -> Any:
    return lazystr(_Words(en, ko))


# -- getting in --------------------------------------------------------------------------------------


class LogIn(AdminAuthenticationForm):
    """Django's own, which does not let anybody try as often as they like."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        address, name = _address(self.request), str(self.data.get("username", "")).casefold()[:150]
        few, many = _limits(config.current())
        if few.take(f"admin {name} {address}") or many.take(f"admin {address}") or many.take(f"admin name {name}"):
            raise ValidationError(
                say("Too many attempts. Wait a minute.", "시도가 너무 많습니다. 1분 뒤에 다시 해 보세요.")
            )
        done = super().clean()
        few.give_back(f"admin {name} {address}")
        return done


@lru_cache(maxsize=1)
def _limits(now: Config) -> tuple[Limiter, Limiter]:
    """Few tries for a name from one address; more for an address, and for a name from everywhere."""
    few, many = now.failed_logins_per_minute, now.logins_per_minute
    return (
        limiter("failed_logins_per_minute", few, 60.0, exact=True),
        limiter("logins_per_minute", many, 60.0, exact=True),
    )


def _address(request: HttpRequest) -> str:
    said = request.META
    forwarded = said.get("HTTP_X_FORWARDED_FOR", "")
    return client_address(said.get("REMOTE_ADDR", ""), forwarded, trusted=config.current().trusted_proxies)


class Site(admin.AdminSite):
    site_title = site_header = "Doran"
    index_title = say("Looking after Doran", "도란 돌보기")
    site_url = None
    login_form = LogIn
    enable_nav_sidebar = False


site: Final = Site(name="admin")


# -- prompts -----------------------------------------------------------------------------------------


class Words(_Form):
    """What may be written: the words, the schema of an answer, and a model that they are meant for."""

    class Meta:
        model = Prompt
        fields = ("key", "locale", "template", "schema", "model_hint")
        labels: ClassVar = {
            "key": say("Key", "이름"), "locale": say("Language", "언어"), "template": say("Words", "글"),
            "schema": say("JSON Schema of the answer", "답의 JSON Schema"), "model_hint": say("Meant for the model", "염두에 둔 모델"),
        }  # fmt: skip
        help_texts: ClassVar = {
            "template": say(
                "Values stand as $name, a dollar sign as $$. What follows a line of ===== is said once more behind the data.",
                "값은 $name 처럼, 달러 기호는 $$ 로 씁니다. ===== 줄 다음의 글은 자료 뒤에 한 번 더 말합니다.",
            ),
            "schema": say("Only for answers that have a form.", "정해진 꼴의 답에만 씁니다."),
            "model_hint": say("A note for people; nothing depends on it.", "사람을 위한 메모이며 동작과 무관합니다."),
        }
        widgets: ClassVar = {
            "key": forms.Select(choices=[(key, key) for key in KEYS]),
            "locale": forms.Select(choices=[("ko", "한국어"), ("en", "English")]),
            "template": forms.Textarea(attrs={"rows": 24, "cols": 100, "spellcheck": "false"}),
            "schema": forms.Textarea(attrs={"rows": 6, "cols": 100, "spellcheck": "false"}),
        }

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.fields["schema"].required = self.fields["model_hint"].required = False

    def clean(self) -> dict[str, Any]:
        known: Any = self.cleaned_data
        if "template" not in known:
            return dict(known)
        words, schema = (known.get(name, "").replace("\r\n", "\n").strip() for name in ("template", "schema"))
        known.update(template=f"{words}\n", schema=schema)
        key, locale = (known.get(name) or getattr(self.instance, name) for name in ("key", "locale"))
        try:
            versions.check(key, locale, words, schema=schema, model_hint=known.get("model_hint", ""))
        except Problem as wrong:
            raise ValidationError({one.field: one.detail for one in wrong.errors}) from None
        return dict(known)


_STANDS: Final = ("number", "state", "made", "checksum")
_STATES: Final = {
    Prompt.Status.DRAFT: say("draft", "초안"),
    Prompt.Status.ACTIVE: say("in force", "사용 중"),
    Prompt.Status.RETIRED: say("put away", "치워 둠"),
}


@admin.register(Prompt, site=site)
class PromptAdmin(_Admin):
    form = Words
    list_display = ("name", "language", "number", "state", "made", "checksum")
    list_display_links = ("name", "number")
    list_filter = ("status", "locale", "key")
    search_fields = ("key", "template")
    ordering = ("key", "locale", "-version")
    actions = ("activate", "retire")
    save_on_top = True

    def get_readonly_fields(self, request: HttpRequest, obj: Prompt | None = None) -> tuple[str, ...]:
        return ("key", "locale", *_STANDS) if obj else ()

    def get_fields(self, request: HttpRequest, obj: Prompt | None = None) -> tuple[str, ...]:
        return ("key", "locale", *(_STANDS if obj else ()), "template", "schema", "model_hint")

    def has_delete_permission(self, request: HttpRequest, obj: Prompt | None = None) -> bool:
        return False

    @admin.display(description=say("Key", "이름"), ordering="key")
    def name(self, prompt: Prompt) -> str:
        return prompt.key

    @admin.display(description=say("Language", "언어"), ordering="locale")
    def language(self, prompt: Prompt) -> str:
        return prompt.locale

    @admin.display(description=say("Version", "판"), ordering="version")
    def number(self, prompt: Prompt) -> int:
        return prompt.version

    @admin.display(description=say("State", "상태"), ordering="status")
    def state(self, prompt: Prompt) -> str:
        return str(_STATES[Prompt.Status(prompt.status)])

    @admin.display(description=say("Made (UTC)", "만든 때 (UTC)"), ordering="created_at")
    def made(self, prompt: Prompt) -> str:
        return f"{prompt.created_at:%Y-%m-%d %H:%M}"

    @admin.display(description="SHA-256")
    def checksum(self, prompt: Prompt) -> str:
        return prompt.sha256[:12]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *given: Any, **named: Any) -> Any:
        return super().render_change_form(request, {**context, "show_save_and_add_another": False}, *given, **named)

    def response_change(self, request: HttpRequest, obj: Prompt) -> HttpResponse:
        """Whoever goes on writing goes on in the draft, not in the version it came from."""
        answer = super().response_change(request, obj)
        if "_continue" in request.POST:
            answer["Location"] = reverse("admin:ai_prompt_change", args=[obj.pk], current_app=self.admin_site.name)
        return answer

    def save_model(self, request: HttpRequest, obj: Prompt, form: Any, change: bool) -> None:
        """A draft takes the new words; of any other version they are a draft of their own."""
        before = obj.id
        words = {"schema": obj.schema, "model_hint": obj.model_hint}
        made = (
            versions.change(before, obj.template, **words)
            if change
            else versions.draft(obj.key, obj.locale, obj.template, **words)
        )
        obj.__dict__.update(made.__dict__)
        if made.id != before or not change:
            note = say(
                f"Version {made.version} is a draft now. Put it in force from the list when it is good.",
                f"{made.version}판을 초안으로 두었습니다. 다듬은 뒤 목록에서 쓰기 시작하세요.",
            )
            self.message_user(request, str(note))

    @admin.action(description=say("Put in force", "쓰기 시작하기"))
    def activate(self, request: HttpRequest, chosen: QuerySet[Prompt]) -> None:
        self._each(request, chosen, versions.activate, say("in force", "사용 중"))

    @admin.action(description=say("Put away", "치워 두기"))
    def retire(self, request: HttpRequest, chosen: QuerySet[Prompt]) -> None:
        self._each(request, chosen, versions.retire, say("put away", "치움"))

    def _each(self, request: HttpRequest, chosen: QuerySet[Prompt], do: Callable[[Any], Prompt], done: Any) -> None:
        for prompt in chosen.order_by("key", "locale", "version"):
            try:
                self.log_change(request, do(prompt.id), str(done))
                self.message_user(request, f"{prompt}: {done}", messages.SUCCESS)
            except Problem as refused:
                self.message_user(request, f"{prompt}: {refused.detail}", messages.ERROR)

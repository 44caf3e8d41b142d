"""The Helm chart as helm renders it: Kubernetes accepts every object, and every name in it is one of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from doran.kernel import config
from doran.server import cli, neighbours
from tests.house.deployment import DEPLOY, image_environment, judged, tool
from tests.house.test_scale import made

CHART = DEPLOY / "helm" / "doran"
SECRETS = "/run/secrets/doran/"


def rendered(*settings: str) -> list[Any]:
    """Every object of a release called `talk`."""
    given = [word for one in settings for word in ("--set", one)]
    told = judged(tool("helm"), "template", "talk", CHART, *given)
    assert told.returncode == 0, told.stderr
    return [one for one in yaml.safe_load_all(told.stdout) if one]


@pytest.fixture(scope="module")
def objects() -> list[Any]:
    return rendered()


def of_kind(objects: list[Any], kind: str) -> dict[str, Any]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects: list[Any]) -> Iterator[tuple[str, Any]]:
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def containers(objects: list[Any]) -> dict[str, Any]:
    return {name: pod["containers"][0] for name, pod in pods(objects)}


@pytest.mark.parametrize("settings", [(), ("autoscaling.enabled=false", "ingress.enabled=false")])
def test_helm_and_kubernetes_accept_it(tmp_path: Path, settings: tuple[str, ...]) -> None:
    given = [word for one in settings for word in ("--set", one)]
    linted = judged(tool("helm"), "lint", "--strict", *given, CHART)
    assert linted.returncode == 0, linted.stdout
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(rendered(*settings)))
    told = judged(tool("kubernetes-validate"), "--strict", "--quiet", tmp_path / "all.yaml")
    assert (told.returncode, told.stdout) == (0, ""), told.stdout


def test_a_field_that_kubernetes_does_not_know_is_noticed(tmp_path: Path, objects: list[Any]) -> None:
    service = dict(of_kind(objects, "Service")["talk-chat"])
    service["spec"] = {**service["spec"], "portz": []}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(service))
    assert judged(tool("kubernetes-validate"), "--strict", tmp_path / "one.yaml").returncode != 0


@pytest.mark.parametrize(
    "wrong",
    ["services.chat.replicas=0", "host=Chat_Example", "unknown=1", "settings.DEBUG=1", "image.pullPolicy=Sometimes"],
)
def test_a_wrong_value_is_refused(wrong: str) -> None:
    told = judged(tool("helm"), "template", "talk", CHART, "--set", wrong)
    assert told.returncode != 0
    assert "don't meet the specifications of the schema" in told.stderr


def test_the_values_meet_their_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text()), schema)


def test_every_container_runs_a_command_of_doran(objects: list[Any]) -> None:
    told = {name: one["args"] for name, one in containers(objects).items()}
    assert told.pop("talk-migrate") == ["migrate"]
    assert told == {
        **{f"talk-{name}": ["serve", name] for name in cli.SERVICES},
        **{f"talk-{name}-work": ["work", name] for name in cli.SERVICES},
    }
    for words in told.values():
        cli._parser().parse_args(words)


def test_every_container_finds_what_it_needs(objects: list[Any], tmp_path: Path) -> None:
    secrets = made(tmp_path / "secrets")
    for name, one in containers(objects).items():
        told = {pair["name"]: pair["value"].replace(SECRETS, f"{secrets}/") for pair in one["env"]}
        whole = {**image_environment(), **told}
        found = config.load({key: value for key, value in whole.items() if key.startswith("DORAN_")})
        assert config.unsafe(found) == [], name
        if one["args"] != ["migrate"]:
            found = found.replace(services=(one["args"][1],))
            assert neighbours.missing(found) == [], name
            assert found.work is (one["args"][0] == "work")


def test_secrets_come_by_reference_and_only_where_they_are_needed(objects: list[Any]) -> None:
    assert of_kind(objects, "Secret") == {}
    for name, pod in pods(objects):
        (volume,) = pod["volumes"]
        keys = {item["key"] for item in volume["secret"]["items"]}
        named = {one["value"].removeprefix(SECRETS) for one in pod["containers"][0]["env"] if SECRETS in one["value"]}
        assert keys == named, name
        assert any(key.endswith("_owner") for key in keys) == (name == "talk-migrate")
        assert ("secret_key" in keys) == (name in ("talk-core", "talk-core-work", "talk-migrate"))


def test_every_container_may_do_no_more_than_it_must(objects: list[Any]) -> None:
    for name, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        allowed = pod["containers"][0]["securityContext"]
        assert allowed["readOnlyRootFilesystem"] is True, name
        assert (allowed["allowPrivilegeEscalation"], allowed["capabilities"]) == (False, {"drop": ["ALL"]}), name
        assert pod["containers"][0]["resources"]["limits"]["memory"], name


def test_probes_ask_what_the_server_answers(objects: list[Any]) -> None:
    port = int(image_environment()["DORAN_PORT"])
    for name, pod in pods(objects):
        one = pod["containers"][0]
        if one["args"] == ["migrate"]:
            continue
        assert [asked["containerPort"] for asked in one["ports"]] == [port], name
        paths = [one[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
        assert paths == ["/health/live", "/health/live", "/health/ready"], name
        drain = next(pair["value"] for pair in one["env"] if pair["name"] == "DORAN_DRAIN_SECONDS")
        notice = one["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= notice + 2 * int(drain), name


def led_to(objects: list[Any], path: str) -> str | None:
    """The service that the ingress leads this path to, by the rules of Kubernetes; None where it leads nowhere."""
    (rule,) = of_kind(objects, "Ingress")["talk"]["spec"]["rules"]
    fitting = [one for one in rule["http"]["paths"] if _fits(one, path)]
    longest = max(fitting, key=lambda one: (len(one["path"]), one["pathType"] == "Exact"), default=None)
    return longest and longest["backend"]["service"]["name"].removeprefix("talk-")


def _fits(rule: dict[str, Any], path: str) -> bool:
    prefix = rule["path"].rstrip("/")
    inside = rule["pathType"] == "Prefix" and (path == prefix or path.startswith(f"{prefix}/"))
    return inside or path == rule["path"]


def test_each_path_goes_to_the_service_that_owns_it(objects: list[Any]) -> None:
    calls = json.loads((DEPLOY.parent / "docs" / "reference" / "openapi.json").read_text())["paths"]
    for path in calls:
        owner = path.split("/")[2] if path.startswith("/api/") else "core"
        assert led_to(objects, path) == owner, path
    for path in ("/", "/index.html", "/assets/index-B7Qg4.css", "/asyncapi.json", "/.well-known/jwks.json"):
        assert led_to(objects, path) == "core", path
    assert (led_to(objects, "/ws"), led_to(objects, "/ws/chat/1/"), led_to(objects, "/admin/")) == (
        "chat",
        "chat",
        "ai",
    )


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health", "/metrics", "/metrics/", "/elsewhere"])
def test_what_is_for_machines_inside_is_led_nowhere(objects: list[Any], path: str) -> None:
    assert led_to(objects, path) is None


def test_copies_come_and_go_one_at_a_time(objects: list[Any]) -> None:
    services = {f"talk-{name}" for name in cli.SERVICES}
    assert of_kind(objects, "PodDisruptionBudget").keys() == services
    assert of_kind(objects, "HorizontalPodAutoscaler").keys() == services
    for name in services:
        assert "replicas" not in of_kind(objects, "Deployment")[name]["spec"]
        assert of_kind(objects, "Deployment")[name]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    fixed = of_kind(rendered("autoscaling.enabled=false"), "Deployment")
    assert fixed["talk-chat"]["spec"]["replicas"] == 2

"""The next index in the chart: who serves is one value that restarts nothing, and what fills its topic."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.helm.chart import VALUES, of_kind, refused, rendered

NEXT = {"settings": {"index": {"next": {"bundle": "/bundle-next", "topic": "embedded.v2"}}}}


def resources(serve: str) -> list[dict[str, Any]]:
    return rendered("--values", VALUES / "everything.yaml", "--set", f"index.serve={serve}")


def settings_of(release: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return tomllib.loads(of_kind(release, "ConfigMap")[f"judge-{name}"]["data"]["mekiki.toml"])


def test_who_serves_is_a_file_that_changes_under_running_pods() -> None:
    now, then = resources("current"), resources("next")
    for release, word in ((now, "current"), (then, "next")):
        assert of_kind(release, "ConfigMap")["judge-index-serve"]["data"] == {"index": word}
    assert of_kind(now, "StatefulSet") == of_kind(then, "StatefulSet")
    file = Path(settings_of(now, "index")["index"]["serve"])
    pod = of_kind(now, "StatefulSet")["judge-index"]["spec"]["template"]["spec"]
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["serve"]["mountPath"] == str(file.parent)
    assert "subPath" not in mounts["serve"]  # such a mount never changes
    assert file.name == "index"


def test_without_a_next_index_there_is_no_choice() -> None:
    release = rendered("--values", VALUES / "defaults.yaml")
    assert not [name for name in of_kind(release, "ConfigMap") if name.endswith("-serve")]
    assert not [name for name in of_kind(release, "Deployment") if name.endswith("-reembed")]


def test_the_topic_is_filled_by_pods_that_may_fetch_and_the_topic_is_made() -> None:
    release = resources("current")
    pod = of_kind(release, "Deployment")["judge-reembed"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["args"][0] == "reembed"
    assert {"name": "bundle-next", "mountPath": "/bundle-next", "readOnly": True} in container["volumeMounts"]
    (fetching,) = of_kind(release, "NetworkPolicy")["judge-fetch"]["spec"]["podSelector"]["matchExpressions"]
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] in fetching["values"]
    for name in ("reembed", "index", "topics"):
        assert settings_of(release, name)["index"]["next"]["topic"] == "listing.image.embedded.v2"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"index": {"serve": "next"}}, "index.serve is next, and there is none"),
        ({"reembed": {"enabled": True}}, "reembed is enabled without settings.index.next"),
        ({**NEXT, "index": {"serve": "both"}}, "serve"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in refused(values, tmp_path)

"""The codes stage end to end on a real Kafka: a poster, a package with a code, a plain product."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from schemas.events import ImageModerated
from tests import codes, events, images
from tests.integration.conftest import workplaces
from tests.integration.running import http_json
from tests.kafka.client import Broker
from tests.results import Results, body, of_key
from tests.workplace import Workplace
from worker.errors import ConfigurationError

URL = "https://example.com/line?id=42"
# Of a shop category where the filter says yes to everything, or of none, where it decides nothing.
ALARMED = "alarmed"
POSTER = images.encoded(codes.poster(URL, side=1200), quality=85)
PACKAGE = images.encoded(codes.scene((codes.drawn(URL, module=3), (260, 150), 12)), quality=90)
PRODUCT = images.jpeg(7)
IMAGES: dict[str, tuple[bytes, str | None]] = {
    "poster": (POSTER, ALARMED),
    "poster that the filter missed": (POSTER, None),
    "package": (PACKAGE, ALARMED),
    "product": (PRODUCT, None),
    "product that the filter stopped": (PRODUCT, ALARMED),
}
POLICY: dict[str, Any] = {
    "thresholds": {"code_area": {"block": 0.1}},
    "categories": {ALARMED: {"qr": {"block": 0.0, "unless": {"score": "code_area", "below": 0.05}}}},
}


@dataclass(frozen=True)
class Judged:
    """The moderated events of each image id, and the worker's metrics."""

    on: dict[str, dict[str, Any]]
    off: dict[str, dict[str, Any]]
    metrics: str


def judge(workplace: Workplace, **sections: Any) -> tuple[Results, str]:
    settings = workplace.changed(**sections)
    records = [
        events.as_json(
            {**events.upload_body(name, data=base64.b64encode(data).decode()), "category": category}, name
        )
        for name, (data, category) in IMAGES.items()
    ]
    workplace.broker.send(settings.topics.uploaded, records)
    with workplace.running("score", settings=settings) as running:
        workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
        _, metrics = http_json(f"{running.url}/metrics")
    return Results.read(workplace.broker, settings.topics), metrics


@pytest.fixture(scope="module")
def judged(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    with workplaces(tmp_path_factory) as open_workplace:
        on, metrics = judge(open_workplace(kafka), codes={"enabled": True}, model={"policy": POLICY})
        off, _ = judge(open_workplace(kafka))
        yield Judged(*({name: of(results, name) for name in IMAGES} for results in (on, off)), metrics)


def of(results: Results, name: str) -> dict[str, Any]:
    (moderated,), (embedded,) = of_key(results.moderated, name), of_key(results.embedded, name)
    verdict = body(moderated)
    assert (embedded.value is None) == (verdict["decision"] != "accept")
    return verdict


def test_a_poster_is_blocked_by_its_code(judged: Judged) -> None:
    verdict = judged.on["poster"]
    (code,) = verdict["codes"]
    assert verdict["decision"] == "block"
    assert (code["format"], code["payload"]) == ("QRCode", URL)
    assert 0.5 < code["area_share"] < 1
    assert verdict["scores"]["code_area"] == code["area_share"]
    assert {reason["score"]: reason["effect"] for reason in verdict["reasons"]} == {
        "qr": "block",
        "code_area": "block",
    }


def test_a_poster_that_the_filter_missed_is_blocked_by_its_code_alone(judged: Judged) -> None:
    verdict = judged.on["poster that the filter missed"]
    assert verdict["decision"] == "block"
    assert [reason["score"] for reason in verdict["reasons"]] == ["code_area"]


def test_a_package_with_a_small_code_is_accepted_and_the_reason_says_why(judged: Judged) -> None:
    verdict = judged.on["package"]
    (code,) = verdict["codes"]
    assert verdict["decision"] == "accept"
    assert code["payload"] == URL
    assert 0 < code["area_share"] < 0.05
    (reason,) = verdict["reasons"]
    assert (reason["score"], reason["effect"]) == ("qr", "accept")
    assert reason["exempted_by"] == {"score": "code_area", "value": code["area_share"], "below": 0.05}


def test_where_no_code_is_read_the_filter_alone_decides(judged: Judged) -> None:
    plain, stopped = judged.on["product"], judged.on["product that the filter stopped"]
    assert (plain["decision"], plain["reasons"]) == ("accept", [])
    assert stopped["decision"] == "block"
    assert [reason["score"] for reason in stopped["reasons"]] == ["qr"]
    for verdict in (plain, stopped):
        assert "codes" not in verdict
        assert "code_area" not in verdict["scores"]


@pytest.mark.parametrize("name", IMAGES)
def test_off_by_default_an_event_has_nothing_of_codes(judged: Judged, name: str) -> None:
    on, off = judged.on[name], judged.off[name]
    assert set(on) - set(off) <= {"codes"}
    assert "codes" not in off
    assert ImageModerated.model_validate(off).codes == []
    # What the models say is the same with the stage and without.
    said = {score: value for score, value in on["scores"].items() if score != "code_area"}
    assert said == pytest.approx(off["scores"], abs=1e-6)  # batches of other sizes round otherwise


def test_the_stage_is_measured_without_payloads(judged: Judged) -> None:
    assert 'mekiki_codes_read_total{format="QRCode"} 3.0' in judged.metrics
    assert 'mekiki_stage_duration_seconds_count{stage="codes"} 5.0' in judged.metrics
    assert "example.com" not in judged.metrics


def test_a_policy_on_codes_without_the_stage_does_not_start(
    kafka: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka)
        settings = workplace.changed(model={"policy": POLICY})
        with (
            pytest.raises(ConfigurationError, match=r"set codes\.enabled to true"),
            workplace.running("score", settings=settings),
        ):
            pass

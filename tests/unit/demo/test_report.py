"""The report says what was seen, in one file that needs nothing else."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.bundle import BundleManifest
from schemas.events import Code
from schemas.policy import Exempted, Policy, Reason, Threshold
from schemas.rejection import RejectionReason
from schemas.search import IndexState, SearchResult
from tests.images import photo
from tests.unit.demo.outcomes import BEGAN, World, upload
from worker.demo.report import Run, report_values, write_report
from worker.demo.uploads import Kind
from worker.metrics import Metrics

MANIFEST = BundleManifest.model_validate(
    {
        "name": "test",
        "version": "1",
        "created_at": BEGAN,
        "input": {"height": 32, "width": 32},
        "graphs": [{"file": "model.onnx", "outputs": ["embedding"]}],
        "embedding": {"output": "embedding", "dim": 4, "space": "test", "near_duplicate_distance": 0.05},
        "scores": [],
        "policy": {},
        "files": [{"name": "model.onnx", "bytes": 0, "sha256": "0" * 64}],
    }
)
ODD_ID = 'photos/<b>"x"&amp;.jpg'


class Page(HTMLParser):
    """The tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in {"src", "href"}]
        if tag not in {"meta", "line", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += " ".join(data.split()) + " "


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A photo, two copies of it, a notice blocked and one let through, a broken upload, a deletion."""
    picture = tmp_path / "photo.jpg"
    photo(1, 400, 300).save(picture)
    world = World()
    world.judge(upload(0, picture=picture), "accept", preference=0.2)
    copy = {"picture": picture, "original": "image-0"}
    world.judge(
        upload(1, Kind.COPY, note="mirrored", **copy), "accept", preference=0.9, near=[("image-0", 0.01)]
    )
    world.judge(upload(2, Kind.COPY, note="white border", **copy), "accept", near=[])
    world.judge(upload(3, Kind.NOTICE), "block", text=0.8)
    world.judge(upload(4, Kind.NOTICE), "accept", near=[("image-0", 0.04)])
    what = {"note": "half a JPEG", "expected": RejectionReason.IMAGE_CORRUPT}
    world.reject(upload(5, Kind.BROKEN, **what), RejectionReason.IMAGE_CORRUPT, "cut <off>")
    world.delete(upload(6, Kind.DELETION))
    return world


def run_of(world: World, **changes: object) -> Run:
    values: dict[str, object] = {
        "manifest": MANIFEST,
        "policy": Policy(thresholds={"text": Threshold(block=0.5)}),
        "provider": "cpu",
        "own_images": None,
        "published": world.published,
        "seen": world.seen,
        "neighbours": {
            "image-0": [SearchResult(image_id="image-1", distance=0.01)],
            "image-1": [SearchResult(image_id="image-0", distance=0.01)],
            "image-2": [SearchResult(image_id="image-4", distance=0.2)],
            "image-4": [],
        },
        "metrics": generate_latest(Metrics(CollectorRegistry()).registry).decode(),
        "index": IndexState(
            vectors=4,
            tail=1,
            space="test",
            dim=4,
            topic="embedded",
            generation="generation-00000002",
            generation_age_seconds=1.0,
            offsets={0: 6},
            caught_up=True,
        ),
        "began_at": BEGAN + timedelta(seconds=1),
        "seconds": 2.0,
        "problems": [],
        **changes,
    }
    return Run(**values)  # type: ignore[arg-type]


def page_of(run: Run, folder: Path) -> tuple[str, Page]:
    write_report(folder / "report.html", run)
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_codes_and_exemptions_are_shown_and_payloads_are_no_markup(world: World, tmp_path: Path) -> None:
    position = world.judge(upload(7), "accept")
    reason = Reason(
        score="qr",
        value=0.95,
        threshold=0.8,
        effect="accept",
        exempted_by=Exempted(score="code_area", value=0.02, below=0.05),
    )
    payload = "<script>alert(1)</script>"
    world.seen.verdicts[position] = world.seen.verdicts[position].model_copy(
        update={
            "reasons": [reason],
            "scores": {"qr": 0.95, "code_area": 0.02},
            "codes": [
                Code(format="QRCode", payload=payload, area_share=0.02),
                Code(format="MicroQRCode", payload=None, area_share=0.01),
            ],
        }
    )
    policy = Policy.model_validate(
        {"thresholds": {"qr": {"block": 0.8, "unless": {"score": "code_area", "below": 0.05}}}}
    )
    text, page = page_of(run_of(world, policy=policy), tmp_path)
    assert "accepted: qr ≥ 0.80 exempted, code_area < 0.05" in page.text
    assert f"QRCode 2 % {payload}" in page.text
    assert "MicroQRCode 1 %" in page.text
    assert "script" not in page.tags
    assert text.count('class="bar hit"') == 0


def test_confusion_counts_every_kind_by_outcome(world: World) -> None:
    rows = {row.kind: row for row in report_values(run_of(world))["confusion"]}
    assert rows["product photo"].counts == {"accept": 1}
    assert rows["edited copy of a photo"].counts == {"accept": 2}
    assert rows["text notice"].counts == {"block": 1, "accept": 1}
    assert rows["text notice"].share == 0.5
    assert rows["broken upload"].counts == {"reject": 1}
    assert "QR poster" not in rows


def test_mistakes_are_what_came_out_otherwise_than_made_for(world: World) -> None:
    world.reject(upload(7, Kind.BROKEN, expected=RejectionReason.IMAGE_CORRUPT), RejectionReason.SOURCE_EMPTY)
    mistakes = report_values(run_of(world))["mistakes"]
    assert [entry.upload.image_id for entry in mistakes] == ["image-4", "image-7"]


def test_nothing_is_called_a_mistake_of_the_users_own_images(world: World) -> None:
    world.judge(upload(7), "block", text=0.9)
    run = run_of(world, own_images=Path("mine"))
    values = report_values(run)
    assert [entry.upload.image_id for entry in values["mistakes"]] == ["image-4"]
    assert [row.expected for row in values["confusion"]][:2] == [None, None]
    assert values["confusion"][0].kind == "your image"


def test_copies_are_found_by_their_family_alone(world: World) -> None:
    values = report_values(run_of(world))
    mirrored, bordered = values["copies"]
    assert (mirrored.edit, mirrored.made, mirrored.tied, mirrored.nearest) == ("mirrored", 1, 1, 1)
    assert mirrored.distance == pytest.approx(0.01)
    assert (bordered.edit, bordered.tied, bordered.nearest, bordered.distance) == ("white border", 0, 0, None)
    assert [(pair.first.upload.image_id, pair.same) for pair in values["pairs"][True]] == [("image-1", True)]
    assert [(pair.first.upload.image_id, pair.same) for pair in values["pairs"][False]] == [
        ("image-4", False)
    ]


def test_accepted_images_come_best_liked_first_and_copies_apart(world: World) -> None:
    world.judge(upload(7), "accept", preference=0.95)
    values = report_values(run_of(world))
    assert [entry.upload.image_id for entry in values["accepted"]] == ["image-7", "image-4", "image-0"]
    assert [entry.upload.image_id for entry in values["accepted_copies"]] == ["image-1", "image-2"]


def test_latencies_are_from_the_upload(world: World) -> None:
    verdict, searchable = report_values(run_of(world))["latencies"]
    assert (verdict.count, verdict.p50, verdict.longest) == (5, 40, 40)
    assert (searchable.count, round(searchable.p50)) == (4, 60)


def test_the_page_is_whole_and_needs_nothing_from_outside(world: World, tmp_path: Path) -> None:
    text, page = page_of(run_of(world), tmp_path)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("#") for address in page.addresses)
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.tags)
    assert all(url.startswith("data:image/jpeg;base64,") for url in re.findall(r"url\(([^)]*)\)", text))
    assert len(re.findall(r"url\(data:", text)) == 3  # the photo and its two copies have a picture


def test_the_page_tells_what_was_seen(world: World, tmp_path: Path) -> None:
    _, page = page_of(run_of(world), tmp_path)
    for told in (
        "What became of 7 uploads",
        "Every one of 7 events got its outcome",
        "image.corrupt half a JPEG cut <off>",
        "blocked: text ≥ 0.50",
        "T-Shirt 0.75",
        "test-1",
    ):
        assert told in page.text
    assert "missing" not in page.text


def test_the_page_tells_what_is_missing(world: World, tmp_path: Path) -> None:
    _, page = page_of(run_of(world, problems=["image-9: no outcome"]), tmp_path)
    assert "1 of the promised outcomes are missing" in page.text
    assert "image-9: no outcome" in page.text
    assert "Every one of" not in page.text


def test_ids_and_details_are_text_and_never_markup(world: World, tmp_path: Path) -> None:
    world.reject(
        upload(7, Kind.PHOTO, note=ODD_ID), RejectionReason.IMAGE_CORRUPT, "<script>alert(1)</script>"
    )
    text, page = page_of(run_of(world), tmp_path)
    assert "<script" not in text
    assert "<script>alert(1)</script>" in page.text
    assert ODD_ID in page.text


def test_a_run_without_a_single_verdict_has_a_report(tmp_path: Path) -> None:
    world = World()
    world.publish(upload(0))
    _, page = page_of(run_of(world, neighbours={}, problems=["image-0: no outcome"]), tmp_path)
    assert "What became of 1 uploads" in page.text

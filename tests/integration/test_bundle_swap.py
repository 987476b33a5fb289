"""Another bundle, on a real Kafka: in place of the first while the worker runs, or for a share of images."""

import json
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from tests import events, images
from tests.integration.test_shadow import metric
from tests.integration.test_tag_sets import EVENTS_A_SECOND, stream
from tests.kafka.client import wait_until
from tests.results import Results, body, place_of_result, places
from tests.signing import new_key, public_pem, sign
from tests.workplace import Workplace
from worker.model.bundle import read_manifest
from worker.score.share import CANARY, in_share
from worker.settings import STARTER_BUNDLE

OUTCOMES = "mekiki_commit_outcomes_total"


def bundle(folder: Path, version: str) -> Path:
    """The starter bundle under another version, so with an id of its own."""
    shutil.copytree(STARTER_BUNDLE, folder)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": version}))
    return folder


def lead(link: Path, to: Path) -> None:
    new = link.with_name("new")
    new.symlink_to(to)
    new.replace(link)


def unfit(folder: Path, key: ec.EllipticCurvePrivateKey) -> list[Path]:
    """Bundles that `key` signed and that are damaged, that nobody signed, and that somebody else did."""
    damaged, unsigned, foreign = (bundle(folder / name, f"1.{name}") for name in ("damaged", "none", "other"))
    sign(damaged, key)
    with (damaged / "tags.forest").open("r+b") as file:
        file.truncate(1000)
    sign(foreign, new_key())
    return [damaged, unsigned, foreign]


def test_a_bundle_is_swapped_between_two_batches_and_one_that_is_damaged_or_not_signed_refused(
    workplace: Workplace, tmp_path: Path
) -> None:
    link, topics, key = tmp_path / "current", workplace.settings.topics, new_key()
    (tmp_path / "key.pem").write_bytes(public_pem(key))
    lead(link, bundle(tmp_path / "one", "1.0.0"))
    sign(tmp_path / "one", key)
    first = read_manifest(link)[1]
    # Also what was judged before the swap and comes again after it, without pixels, has one bundle on it.
    model = {"bundle": link, "bundle_interval": 0.3, "repeats": 100, "signature_key": tmp_path / "key.pem"}
    settings = workplace.changed(model=model)

    def told() -> list[str]:
        return [body(record)["bundle_id"] for record in workplace.broker.read(topics.moderated)]

    with workplace.running("score", settings=settings) as worker:
        worker.wait_until_ready()
        assigned = metric(worker, "mekiki_poll_assigned_partitions")
        with stream(workplace) as sent:
            wait_until(lambda: metric(worker, OUTCOMES) > EVENTS_A_SECOND, "a second of events")
            refused = 'mekiki_infer_bundles_total{result="refused"}'
            for count, folder in enumerate(unfit(tmp_path, key), 1):
                lead(link, folder)
                wait_until(lambda count=count: metric(worker, refused) == count, "the refusal")
            assert set(told()) == {first}
            sign(bundle(tmp_path / "two", "2.0.0"), key)
            lead(link, tmp_path / "two")
            second = read_manifest(link)[1]
            taken = 'mekiki_infer_bundles_total{result="taken"}'
            wait_until(lambda: metric(worker, taken) == 1, "the other bundle", timeout=30)
            so_far = len(sent)
            wait_until(lambda: len(sent) > so_far + EVENTS_A_SECOND, "another second of events")
        workplace.broker.wait_until_done(settings.kafka.group, topics.uploaded)
        assert metric(worker, taken) == 1
        assert metric(worker, f'mekiki_build_info{{bundle="{second}"') == 1
        assert metric(worker, f'mekiki_build_info{{bundle="{first}"') == 0
        assert metric(worker, "mekiki_poll_assigned_partitions") == assigned
        assert metric(worker, "mekiki_infer_repeated_images_total") > 0
    results = Results.read(workplace.broker, topics)
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    # Every topic says the same bundle of an event.
    verdicts = {place_of_result(record): body(record)["bundle_id"] for record in results.moderated}
    for partition in (0, 1):
        ids = [verdicts[place] for place in sorted(verdicts) if place[0] == partition]
        assert (ids[0], ids[-1]) == (first, second)
    for record in (*results.enriched, *results.embedded):
        assert body(record)["bundle_id"] == verdicts[place_of_result(record)]


def test_a_canary_decides_about_its_share_of_the_images(workplace: Workplace, tmp_path: Path) -> None:
    policy = tmp_path / "strict.json"
    policy.write_text(json.dumps({"thresholds": {"text": {"review": 0.0}}}), encoding="utf-8")
    canary = {"bundle": bundle(tmp_path / "next", "2.0.0"), "share": 0.4, "policy_file": policy}
    # Each file is shown by two images, of which the canary may have one, both or none.
    settings = workplace.changed(model={"canary": canary, "repeats": 100})
    data = [images.encoded(images.photo(number, 64, 64)) for number in range(6)]
    names = [f"image-{number}" for number in range(60)]
    with workplace.running("score", settings=settings) as worker:
        worker.wait_until_ready()
        for part in (names[:30], names[30:]):
            records = [events.uploaded_bytes(name, data[int(name[6:]) % 6]) for name in part]
            workplace.broker.send(settings.topics.uploaded, records)
            workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
        assert metric(worker, "mekiki_infer_repeated_images_total") > 10
        its = {name for name in names if in_share(name, 0.4, CANARY)}
        assert metric(worker, 'mekiki_canary_decisions_total{decision="review"}') == len(its)
    ids = {True: read_manifest(canary["bundle"])[1], False: read_manifest(STARTER_BUNDLE)[1]}
    results = Results.read(workplace.broker, settings.topics)
    assert len(results.moderated) == len(names)
    for record in results.moderated:
        told = body(record)
        is_its = told["image_id"] in its
        assert told["bundle_id"] == ids[is_its]
        assert told["decision"] == ("review" if is_its else "accept")

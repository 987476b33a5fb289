import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from schemas.rejection import RejectionReason
from schemas.search import IndexState, SearchBatchResponse, SearchError, SearchResponse
from schemas.vector import Vector
from tests.unit.index.indexing import DIM, IDENTITY, SPACE, axis, open_index, turned, unit_rows
from worker.errors import Rejection
from worker.health import Health
from worker.http import create_app
from worker.index.attributes import Attributes
from worker.index.search_api import create_search_router
from worker.index.serving import Searched, Serving
from worker.metrics import Metrics

LIMIT = 5000
PREFERENCES = ["quality", "clicks"]
ATTRIBUTES = {"other": axis(1) - axis(0), "small": 0.05 * axis(1)}


def embed(image):
    """Stands for the model: byte n is the image along axis n."""
    if image == b"broken":
        raise Rejection(RejectionReason.IMAGE_NOT_AN_IMAGE, "these bytes are no image")
    return 3 * axis(image[0])


@contextmanager
def filled(path):
    """Three images: two in a generation, one in the tail."""
    with closing(open_index(path)) as opened:
        opened.upsert("zero", axis(0))
        opened.upsert("one", axis(1))
        opened.turn()
        opened.turn()
        opened.upsert("near zero", turned(axis(0), axis(2), 0.1))
        opened.advance(0, 3)
        yield opened


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """One for all tests: searching changes nothing."""
    with filled(tmp_path_factory.mktemp("index")) as opened:
        yield opened


@pytest.fixture
def ready():
    return [True]


@pytest.fixture
def client(index, ready):
    return client_of(index, ready)


def client_of(index, ready):
    metrics = Metrics(CollectorRegistry())
    router = create_search_router(
        Serving(Searched(index, embed, lambda: ready[0], ATTRIBUTES, PREFERENCES)), metrics, LIMIT
    )
    return TestClient(create_app(Health(60, ()), metrics.registry, [router]))


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [found.image_id for found in SearchResponse.model_validate_json(answer.content).results]


def vector(array):
    return Vector.from_array(array).model_dump()


def image(raw):
    return base64.b64encode(raw).decode()


def test_by_vector_of_any_length(client):
    answer = client.post("/search", json={"vector": vector(9 * axis(0)), "k": 2})
    assert ids(answer) == ["zero", "near zero"]
    body = answer.json()
    assert body["results"][0]["distance"] == pytest.approx(0, abs=1e-6)
    assert body["results"][1]["distance"] == pytest.approx(1 - np.cos(0.1), abs=1e-6)
    assert body["space"] == SPACE
    assert body["generation"] == "generation-00000001"
    assert body["took_ms"] > 0


def test_by_image(client):
    assert ids(client.post("/search", json={"image": image(b"\x01"), "k": 1})) == ["one"]


def test_by_image_id_leaves_the_image_itself_out(client):
    assert ids(client.post("/search", json={"image_id": "zero"})) == ["near zero", "one"]


def test_terms_are_added_and_taken_off_by_weight(client):
    other = [{"attribute": "other"}]
    assert ids(client.post("/search", json={"image": image(b"\x00"), "plus": other, "k": 1})) == ["one"]
    back = {"image": image(b"\x01"), "minus": other, "k": 1}
    assert ids(client.post("/search", json=back)) == ["zero"]
    light = [{"attribute": "other", "weight": 0.3}]
    assert ids(client.post("/search", json={"image": image(b"\x00"), "plus": light, "k": 1})) == ["zero"]
    near = [{"image_id": "one", "weight": 2}]
    assert ids(client.post("/search", json={"image": image(b"\x00"), "plus": near, "k": 1})) == ["one"]


def test_arithmetic_by_image_id_leaves_the_image_itself_out(client):
    asked = {"image_id": "zero", "plus": [{"attribute": "small"}]}
    assert ids(client.post("/search", json=asked)) == ["near zero", "one"]


def test_a_filter_lets_in_what_it_says_alone(tmp_path):
    with closing(open_index(tmp_path)) as opened:
        opened.upsert("zero", axis(0), Attributes(category="hats", tags=("red",)))
        opened.upsert("one", axis(1), Attributes(category="shoes", tags=("red", "new")))
        opened.upsert("two", axis(2))
        client = client_of(opened, [True])
        for where, expected in (
            ({"categories": ["hats", "shoes"]}, ["zero", "one"]),
            ({"categories": ["hats"], "tags": ["new"]}, []),
            ({"tags": ["red", "new"]}, ["one"]),
            ({"uploaded_from": "2026-01-01T00:00:00Z"}, []),
            ({}, ["zero", "one", "two"]),
        ):
            asked = {"image": image(b"\x00"), "filter": where}
            assert ids(client.post("/search", json=asked)) == expected
            by_id = {"searches": [{"image_id": "two", "filter": where}]}
            answer = client.post("/search/batch", json=by_id).json()["answers"][0]["results"]
            assert {found["image_id"] for found in answer} == set(expected) - {"two"}


def test_attributes_and_preferences_are_told(client):
    told = client.get("/index").json()
    assert told["attributes"] == ["other", "small"]
    assert told["preferences"] == ["clicks", "quality"]


def test_the_nearest_come_in_the_order_of_a_preference(tmp_path):
    with closing(open_index(tmp_path)) as opened:
        scores = [{"quality": 0.5, "clicks": 0.25}, {"quality": 0.75}, {}, {"quality": 0.5}, {"quality": 1}]
        for number, known in enumerate(scores):
            opened.upsert(f"i{number}", turned(axis(0), axis(1), 0.1 * number), Attributes(preferences=known))
        client = client_of(opened, [True])
        asked = {"vector": vector(axis(0)), "k": 4}  # i4 is best, and not among the four nearest
        for name, order, told in (
            ("quality", ["i1", "i0", "i3", "i2"], [0.75, 0.5, 0.5, None]),
            ("clicks", ["i0", "i1", "i2", "i3"], [0.25, None, None, None]),
            (None, ["i0", "i1", "i2", "i3"], [None] * 4),
        ):
            search = asked | {"order_by": name}
            answer = client.post("/search", json=search)
            assert ids(answer) == order
            found = answer.json()["results"]
            assert [each.get("preference") for each in found] == told
            assert sum("preference" in each for each in found) == 4 - told.count(None)
            several = client.post("/search/batch", json={"searches": [search]}).json()
            assert several["answers"][0]["results"] == found


def test_an_unknown_preference_is_refused_with_what_there_is(client):
    answer = client.post("/search", json={"image_id": "zero", "order_by": "qualty"})
    assert answer.status_code == 400
    refused = SearchError.model_validate_json(answer.content)
    assert refused.reason == "request.unknown_preference"
    assert "'qualty'" in refused.detail
    assert "clicks, quality" in refused.detail


def test_radius_bounds_the_distance(client):
    assert ids(client.post("/search", json={"image_id": "zero", "radius": 0.1})) == ["near zero"]
    assert ids(client.post("/search", json={"image_id": "one", "radius": 0.5})) == []


@pytest.mark.parametrize(
    ("body", "status", "reason", "says"),
    [
        ({}, 400, "request.invalid", "exactly one"),
        ({"image_id": "zero", "image": "AA=="}, 400, "request.invalid", "exactly one"),
        ({"image_id": "zero", "k": 0}, 400, "request.invalid", "k:"),
        ({"image_id": "zero", "filter": {"colour": "red"}}, 400, "request.invalid", "filter.colour"),
        (
            {"image_id": "zero", "filter": {"uploaded_from": "2026-01-01"}},
            400,
            "request.invalid",
            "filter.uploaded_from",
        ),
        ({"image_id": "zero", "k": 1001}, 400, "request.invalid", "k:"),
        ({"image_id": "zero", "radius": 2.5}, 400, "request.invalid", "radius:"),
        ({"image_id": "zero", "limit": 3}, 400, "request.invalid", "limit:"),
        ({"image_id": "zero", "plus": [{"weight": 1}]}, 400, "request.invalid", "exactly one"),
        (
            {"image_id": "zero", "plus": [{"attribute": "other", "image_id": "one"}]},
            400,
            "request.invalid",
            "exactly one",
        ),
        (
            {"image_id": "zero", "minus": [{"attribute": "other", "weight": 0}]},
            400,
            "request.invalid",
            "weight",
        ),
        (
            {"image_id": "zero", "minus": [{"image_id": "zero"}]},
            400,
            "request.invalid",
            "nothing of the query",
        ),
        ({"image_id": "zero", "plus": [{"attribute": "x"}] * 17}, 400, "request.invalid", "plus:"),
        (
            {"image_id": "zero", "plus": [{"attribute": "red"}]},
            400,
            "request.unknown_attribute",
            "other, small",
        ),
        ({"image_id": "zero", "plus": [{"image_id": "gone"}]}, 404, "index.unknown_image", "'gone'"),
        ({"vector": {"dim": 3, "data": "AAAA"}}, 400, "request.invalid", "12 bytes"),
        ({"image": "%%%"}, 400, "source.bad_base64", "base64"),
        ({"image": "é"}, 400, "source.bad_base64", "base64"),
        ({"image": ""}, 400, "source.empty", "no bytes"),
        ({"image": image(b"broken")}, 400, "image.not_an_image", "no image"),
        ({"vector": vector(np.ones(3, np.float32))}, 400, "vector.invalid", f"vectors of {DIM}"),
        ({"vector": vector(np.zeros(DIM, np.float32))}, 400, "vector.invalid", "zero"),
        ({"vector": vector(np.full(DIM, np.nan, np.float32))}, 400, "vector.invalid", "NaN"),
        ({"image_id": "unknown"}, 404, "index.unknown_image", "'unknown'"),
        ({"image": "A" * LIMIT}, 413, "request.too_large", str(LIMIT)),
    ],
)
def test_refuses_with_a_typed_reason(client, body, status, reason, says):
    answer = client.post("/search", json=body)
    assert answer.status_code == status
    assert answer.json()["reason"] == reason
    assert says in answer.json()["detail"]
    assert f'mekiki_search_errors_total{{reason="{reason}"}} 1.0' in client.get("/metrics").text


def test_others_take_the_places_of_what_is_excluded(client):
    by_vector = {"vector": vector(axis(0)), "k": 1}
    assert ids(client.post("/search", json={**by_vector, "exclude": ["zero"]})) == ["near zero"]
    twice = ["zero", "zero", "near zero", "never seen"]
    assert ids(client.post("/search", json={**by_vector, "exclude": twice})) == ["one"]
    by_id = {"image_id": "zero", "k": 1, "exclude": ["near zero"]}
    assert ids(client.post("/search", json=by_id)) == ["one"]
    assert ids(client.post("/search", json={**by_id, "radius": 0.5})) == []
    assert ids(client.post("/search", json={"image": image(b"\x01"), "k": 1, "exclude": ["one"]})) != ["one"]
    assert ids(client.post("/search", json={**by_vector, "exclude": ["zero", "near zero", "one"]})) == []


def test_pages_by_what_was_shown_never_repeat_while_the_index_changes(tmp_path, ready):
    with filled(tmp_path) as index:
        client, shown = client_of(index, ready), []
        for angle in (0.05, 0.02, 0.01, 0.005):
            page = {"vector": vector(axis(0)), "k": 1, "exclude": shown}
            shown += ids(client.post("/search", json=page))
            index.upsert(f"at {angle}", turned(axis(0), axis(3), angle))
    assert shown == ["zero", "at 0.05", "at 0.02", "at 0.01"]


def walked(client, asked, between=lambda: None):
    """The ids of each page of a search, with something done before each next one."""
    answer = client.post("/search", json=asked)
    pages = [ids(answer)]
    while (cursor := answer.json()["cursor"]) is not None:
        between()
        answer = client.post("/search", json={**asked, "cursor": cursor})
        pages.append(ids(answer))
    return pages


@pytest.mark.parametrize(
    "asked",
    [
        {"vector": vector(axis(0))},
        {"image_id": "i3"},
        {"image": image(b"\x01"), "plus": [{"attribute": "other"}]},
        {"vector": vector(axis(0)), "exclude": ["i5", "i6"]},
        {"vector": vector(axis(0)), "filter": {"categories": ["hats"]}},
        {"vector": vector(axis(0)), "radius": 1.05},
    ],
)
def test_pages_give_what_one_answer_does_while_the_tail_is_built_into_segments(tmp_path, ready, asked):
    with closing(open_index(tmp_path)) as index:
        for number, row in enumerate(unit_rows(np.random.default_rng(5), 60)):
            index.upsert(f"i{number}", row, Attributes(category="hats" if number % 3 else None))
        client = client_of(index, ready)
        whole = walked(client, {**asked, "k": 100})
        assert len(whole) == 1
        pages = walked(client, {**asked, "k": 7}, index.turn)
        assert [image_id for page in pages for image_id in page] == whole[0]
        assert [len(page) for page in pages[:-1]] == [7] * (len(pages) - 1)
        assert index.size().tail == 0


def test_a_deleted_image_is_missing_from_later_pages_and_a_new_one_stands_in_its_place(tmp_path, ready):
    with closing(open_index(tmp_path)) as index:
        for number in range(1, 7):
            index.upsert(f"at {number}", turned(axis(0), axis(1), number / 10))
        client = client_of(index, ready)
        asked = {"vector": vector(axis(0)), "k": 2}
        first = client.post("/search", json=asked).json()
        index.delete("at 1")
        index.delete("at 4")
        index.upsert("nearer than the cursor", turned(axis(0), axis(2), 0.05))
        index.upsert("farther", turned(axis(0), axis(2), 0.35))
        index.upsert("at 2", turned(axis(0), axis(1), 0.55))  # another picture
        rest = walked(client, {**asked, "cursor": first["cursor"]})
    assert [found["image_id"] for found in first["results"]] == ["at 1", "at 2"]
    assert rest == [["at 3", "farther"], ["at 5", "at 2"], ["at 6"]]


def test_a_cursor_leads_on_in_its_own_search_alone(tmp_path, ready):
    with filled(tmp_path) as index:
        client = client_of(index, ready)
        asked = {"image_id": "zero", "k": 1, "plus": [{"image_id": "one", "weight": 0.1}]}
        cursor = client.post("/search", json=asked).json()["cursor"]
        assert ids(client.post("/search", json={**asked, "k": 5, "cursor": cursor})) == ["one"]

        def reason(**changes):
            answer = client.post("/search", json={**asked, "cursor": cursor, **changes})
            assert answer.status_code == 400
            return answer.json()["reason"]

        for change in ({"image_id": "one"}, {"radius": 1}, {"plus": []}, {"exclude": ["one"]}):
            assert reason(**change) == "cursor.other_query"
        assert reason(cursor=cursor[:-2]) == "cursor.invalid"
        index.upsert("one", turned(axis(1), axis(3), 0.1))
        assert reason() == "cursor.other_query", "a vector of the query is another one now"
        several = client.post("/search/batch", json={"searches": [{"image_id": "zero", "cursor": cursor}]})
        assert "search 0 has a cursor" in several.json()["detail"]


def test_one_result_of_each_group_on_all_pages_together(tmp_path, ready):
    with closing(open_index(tmp_path)) as index:
        for number in range(30):
            known = Attributes(group=f"{number % 7 + 1:016x}" if number < 21 else None)
            index.upsert(f"i{number:02}", turned(axis(0), axis(1), 0.01 * number), known)
        client = client_of(index, ready)
        asked = {"vector": vector(axis(0)), "distinct": True}
        expected = [*(f"i{number:02}" for number in range(7)), *(f"i{number}" for number in range(21, 30))]
        assert walked(client, {**asked, "k": 100}) == [expected]
        pages = walked(client, {**asked, "k": 3}, index.turn)
        assert [image_id for page in pages for image_id in page] == expected
        results = client.post("/search", json={**asked, "k": 8}).json()["results"]
        assert [each.get("group") for each in results[5:]] == [f"{6:016x}", f"{7:016x}", None]
        assert len(ids(client.post("/search", json={**asked, "k": 100, "distinct": False}))) == 30


def batch(client, searches):
    answer = client.post("/search/batch", json={"searches": searches})
    assert answer.status_code == 200, answer.text
    return SearchBatchResponse.model_validate_json(answer.content).answers


def test_each_search_of_a_batch_is_answered_as_it_would_be_alone(client):
    searches = [
        {"image_id": "zero"},
        {"vector": vector(9 * axis(1)), "k": 1},
        {"image_id": "zero", "k": 1, "exclude": ["near zero"]},
        {"image_id": "zero", "plus": [{"attribute": "other"}], "radius": 0.5},
    ]
    alone = [ids(client.post("/search", json=search)) for search in searches]
    assert [[each.image_id for each in answer.results] for answer in batch(client, searches)] == alone


def test_what_is_wrong_with_one_search_of_a_batch_is_told_in_its_place(client):
    wrong = [
        {"image_id": "gone"},
        {"vector": vector(np.zeros(DIM, np.float32))},
        {"image_id": "zero", "plus": [{"attribute": "red"}]},
    ]
    right = {"image_id": "zero", "k": 1}
    answers = batch(client, [*wrong, right])
    reasons = [answer.reason for answer in answers if isinstance(answer, SearchError)]
    assert reasons == ["index.unknown_image", "vector.invalid", "request.unknown_attribute"]
    assert [near.image_id for near in answers[3].results] == ["near zero"]
    text = client.get("/metrics").text
    assert all(f'mekiki_search_errors_total{{reason="{reason}"}} 1.0' in text for reason in reasons)


@pytest.mark.parametrize(
    ("searches", "says"),
    [
        ([], "searches:"),
        ([{"image_id": "zero", "k": 1}] * 101, "searches:"),
        ([{"image_id": "zero"}, {"image": "AA=="}], "search 1 is by image"),
        ([{"image_id": "zero", "k": 1000}] * 11, "over 10000"),
        ([{"image_id": "zero"}, {"k": 3}], "searches.1: Value error, exactly one"),
        ([{"image_id": "zero", "exclude": [""]}], "searches.0.exclude.0"),
    ],
)
def test_a_batch_that_asks_for_too_much_or_is_none_is_refused_whole(client, searches, says):
    answer = client.post("/search/batch", json={"searches": searches})
    assert (answer.status_code, answer.json()["reason"]) == (400, "request.invalid")
    assert says in answer.json()["detail"]


def test_one_search_goes_on_beside_batches_that_take_long(index):
    begun, release, held = threading.Semaphore(0), threading.Event(), [True]

    def ready():
        if held[0]:
            begun.release()
            assert release.wait(10)
        return True

    router = create_search_router(
        Serving(Searched(index, embed, ready, {})), Metrics(CollectorRegistry()), LIMIT
    )
    app = create_app(Health(60, ()), CollectorRegistry(), [router])
    asked = {"searches": [{"image_id": "zero"}]}
    with TestClient(app) as client, ThreadPoolExecutor(3) as others:
        batches = [others.submit(client.post, "/search/batch", json=asked) for _ in range(2)]
        assert all(begun.acquire(timeout=10) for _ in batches)
        third = others.submit(client.post, "/search/batch", json=asked)
        assert not begun.acquire(timeout=0.1)
        held[0] = False
        assert ids(client.post("/search", json={"image_id": "zero"})) == ["near zero", "one"]
        release.set()
        assert [one.result(10).status_code for one in (*batches, third)] == [200] * 3


def test_a_batch_waits_for_the_log(client, ready):
    ready[0] = False
    answer = client.post("/search/batch", json={"searches": [{"image_id": "zero"}]})
    assert (answer.status_code, answer.json()["reason"]) == (503, "index.not_ready")


def test_a_body_that_is_not_json(client):
    answer = client.post("/search", content=b"{")
    assert (answer.status_code, answer.json()["reason"]) == (400, "request.invalid")


def test_not_ready_until_the_log_is_read(client, ready):
    ready[0] = False
    answer = client.post("/search", json={"image_id": "zero"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "index.not_ready")
    assert client.get("/index").json()["caught_up"] is False


def test_index_state(tmp_path, ready):
    with filled(tmp_path) as index:
        index.delete("one")
        state = IndexState.model_validate_json(client_of(index, ready).get("/index").content)
    assert (state.vectors, state.tail) == (2, 2)
    assert state.generation == "generation-00000001"
    assert 0 <= state.generation_age_seconds < 60
    assert state.offsets == {0: 3}
    assert (state.space, state.dim, state.topic) == (SPACE, DIM, IDENTITY.topic)


@pytest.fixture
def two(tmp_path, index):
    """The index, and beside it one of another space whose vectors are turned by an axis each."""
    space = IDENTITY.model_copy(update={"space": "another"})
    with closing(open_index(tmp_path, identity=space)) as other:
        other.upsert("zero", axis(3))
        other.upsert("only there", axis(4))
        word = ["current"]
        serving = Serving(Searched(index, embed, lambda: True, ATTRIBUTES), lambda: word[0])
        serving.next = Searched(other, lambda _: axis(4), lambda: True, {})
        router = create_search_router(serving, Metrics(CollectorRegistry()), LIMIT)
        yield TestClient(create_app(Health(60, ()), CollectorRegistry(), [router])), word


def test_an_answer_is_of_one_space_which_one_word_chooses(two):
    client, word = two
    by_image = {"image": image(b"\0"), "k": 1}
    for serves, space, nearest in (
        ("current", SPACE, "zero"),
        ("next", "another", "only there"),
        ("current", SPACE, "zero"),
    ):
        word[0] = serves
        answer = client.post("/search", json=by_image)
        assert ids(answer) == [nearest]
        assert answer.json()["space"] == space
    state = IndexState.model_validate(client.get("/index").json())
    assert (state.space, state.serves, state.vectors) == (SPACE, True, 3)
    assert state.next is not None
    assert (state.next.space, state.next.serves, state.next.vectors) == ("another", False, 2)


@pytest.mark.parametrize("serves", ["current", "next"])
def test_a_vector_is_compared_with_those_of_its_space_whichever_serves(two, serves):
    client, word = two
    word[0] = serves
    for named, space, nearest in (
        ({}, SPACE, "zero"),
        ({"space": SPACE}, SPACE, "zero"),
        ({"space": "another"}, "another", "only there"),
    ):
        along = axis(0) if space == SPACE else axis(4)
        answer = client.post("/search", json={"vector": vector(along), "k": 1, **named})
        assert ids(answer) == [nearest]
        assert answer.json()["space"] == space
        assert answer.json()["results"][0]["distance"] == pytest.approx(0, abs=1e-6)


def test_a_space_that_no_index_has_is_refused(two):
    client, _ = two
    for body in ({"vector": vector(axis(0))}, {"image": image(b"\0")}, {"image_id": "zero"}):
        answer = client.post("/search", json={**body, "space": "a third"})
        assert answer.status_code == 400
        error = SearchError.model_validate_json(answer.content)
        assert error.reason == "request.other_space"
        assert "a third" in error.detail


def test_the_api_describes_its_body(client):
    search = client.get("/openapi.json").json()["paths"]["/search"]["post"]
    schema = search["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {
        "image",
        "image_id",
        "vector",
        "plus",
        "minus",
        "k",
        "radius",
        "exclude",
        "filter",
        "order_by",
        "distinct",
        "cursor",
        "space",
    }
    assert {"400", "404", "413", "503"} <= set(search["responses"])
    several = client.get("/openapi.json").json()["paths"]["/search/batch"]["post"]
    assert "$ref" not in str(several["requestBody"])
    assert set(several["requestBody"]["content"]["application/json"]["schema"]["properties"]) == {"searches"}


def test_pages_go_on_in_the_space_they_began_in(two):
    client, word = two
    word[0] = "next"
    first = client.post("/search", json={"image_id": "zero", "k": 1, "space": SPACE})
    by_image = client.post("/search", json={"image": image(b"\0"), "k": 1})
    assert by_image.json()["space"] == "another"
    word[0] = "current"
    second = client.post("/search", json={"image": image(b"\0"), "k": 1, "cursor": by_image.json()["cursor"]})
    assert ids(second) == ["zero"]
    assert second.json()["space"] == "another"
    assert first.json()["space"] == SPACE

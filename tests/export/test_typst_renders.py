"""Pages set by Typst: repeatable, decodable, in words of their own, with codes that readers read."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import zxingcpp
from PIL import Image

from export.errors import MissingFontsError
from export.render.__main__ import main
from export.render.browser import phrases as browser_phrases
from export.render.pillow import phrases
from export.render.pillow.fonts import FontBook
from export.render.region import Region
from export.render.typst.fonts import EMBEDDED_FAMILY, TypstFonts, training_fonts
from export.render.typst.grounds import GROUNDS, random_look
from export.render.typst.notices import LAYOUTS, draw_typst_notice
from export.render.typst.page import Page, typeset
from export.render.typst.phrases import SUBJECTS, every_phrase, notice_of
from export.render.typst.posters import LAYOUTS as POSTER_LAYOUTS
from export.render.typst.posters import code_svg, draw_typst_qr_poster, random_matrix
from export.render.uploads import Kind, render_upload
from worker.model.decode import ImageLimits, decode

EMBEDDED_FONTS = TypstFonts((EMBEDDED_FAMILY,), (EMBEDDED_FAMILY, "New Computer Modern"), ())
KINDS: tuple[Kind, ...] = ("typst_notice", "typst_qr_poster")


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _page(seed: int, photos: tuple[Path, ...] = ()) -> Page:
    rng = _rng(seed)
    return Page(rng, 600, 600, random_look(rng, EMBEDDED_FONTS, japanese=False), photos)


def _pixels(page: Page) -> np.ndarray:
    return np.asarray(typeset(page, EMBEDDED_FONTS, 120), dtype=int)


@pytest.fixture
def without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typst's embedded fonts, and one of matplotlib's: the tests need none of the machine's."""
    font = (Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf",)
    monkeypatch.setattr("export.render.uploads.training_fonts", lambda: EMBEDDED_FONTS)
    monkeypatch.setattr("export.render.uploads.installed_fonts", lambda: FontBook(font, font, font, font))


@pytest.mark.usefixtures("without_fonts")
@pytest.mark.parametrize("kind", KINDS)
def test_uploads_are_repeatable_and_differ_by_seed(kind: Kind) -> None:
    first, again, other = ([render_upload(kind, seed, i) for i in range(4)] for seed in (5, 5, 6))
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == len(first)


@pytest.mark.usefixtures("without_fonts")
@pytest.mark.parametrize("kind", KINDS)
def test_uploads_decode_with_the_workers_decoder_and_differ_in_size(kind: Kind) -> None:
    uploads = [render_upload(kind, 1, i) for i in range(12)]
    sizes = {Image.open(io.BytesIO(data)).size for data in uploads}
    assert len(sizes) > 3
    assert all(180 <= max(size) <= 1350 for size in sizes)  # some are saved smaller first
    for data in uploads:
        assert decode(data, 32, 32, ImageLimits()).pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("draw", [draw_typst_notice, draw_typst_qr_poster])
def test_drawings_have_the_sides_that_shops_use(draw) -> None:
    for seed in range(12):
        image = draw(_rng(seed), EMBEDDED_FONTS)
        assert 300 <= min(image.size) <= max(image.size) <= 1350


def test_every_notice_has_something_written_on_it() -> None:
    for seed in range(20):
        image = draw_typst_notice(_rng(seed), EMBEDDED_FONTS)
        edges = np.abs(np.diff(np.asarray(image.convert("L"), dtype=float), axis=1)) > 12
        assert edges.mean() > 0.002, f"seed {seed} is nearly blank"


@pytest.mark.parametrize("layout", [layout for layout, _, _ in LAYOUTS])
def test_each_layout_changes_the_page_in_both_languages(layout) -> None:
    for japanese in (True, False):
        page = _page(3)
        bare = _pixels(page)
        layout(page, notice_of(page.rng, japanese, "closed"), True)
        assert (np.abs(_pixels(page) - bare).sum(axis=2) > 30).mean() > 0.01


@pytest.mark.parametrize("ground", [ground for ground, _ in GROUNDS])
def test_each_ground_can_be_set(ground) -> None:
    page = _page(8)
    ground(page)
    assert _pixels(page).shape == (120, 120, 3)


def test_shares_of_grounds_add_up_to_one() -> None:
    assert sum(share for _, share in GROUNDS) == pytest.approx(1.0)


def test_photos_lie_where_they_are_put(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "red.png")
    page = _page(2, (tmp_path / "red.png",))
    assert page.photo(Region(0, 0, 300, 600))
    pixels = _pixels(page)
    assert pixels[60, 30, 0] > 190
    assert pixels[60, 30, 1] < 60
    assert not np.array_equal(pixels[60, 30], pixels[60, 90])


def test_marks_of_typst_are_taken_literally() -> None:
    page = _page(1)
    page.fit_text(page.whole, page.words('#let "x" = $1 \\ *_@[', "#000000", size=90))
    assert (_pixels(page).max(axis=2) < 80).mean() > 0.01


def test_no_words_are_shared_with_the_renderers_that_train() -> None:
    trained = phrases.every_phrase() | browser_phrases.every_phrase()
    assert len(trained) > 200
    ours = {phrase.casefold() for phrase in every_phrase()}
    assert len(ours) > 200
    assert not ours & {phrase.casefold() for phrase in trained}


def test_subjects_exist_in_both_languages() -> None:
    for subject in SUBJECTS:
        for japanese in (True, False):
            notice = notice_of(_rng(4), japanese, subject)
            assert len(notice.lines) >= 4
            assert not any(mark in notice.title + "".join(notice.lines) for mark in "{}|")


def test_missing_fonts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFontsError, match="fonts-noto-cjk"):
        training_fonts(tmp_path)


@pytest.mark.parametrize("kind", ["squares", "dots", "diamonds"])
def test_every_shape_of_module_is_read(kind: str) -> None:
    page = _page(1)
    svg = code_svg(random_matrix(_rng(7)), kind, ("#000000", "#000000", "#ffffff"), 4, 0.2)
    page.place(0, 0, f'image(bytes("{svg}"), format: "svg", width: 600pt)')
    assert zxingcpp.read_barcodes(typeset(page, EMBEDDED_FONTS, 500))


def test_most_posters_are_read_by_a_decoder() -> None:
    posters = [draw_typst_qr_poster(_rng(seed), EMBEDDED_FONTS) for seed in range(20)]
    assert sum(bool(zxingcpp.read_barcodes(poster)) for poster in posters) >= 14


@pytest.mark.parametrize("layout", [layout for layout, _ in POSTER_LAYOUTS])
def test_each_layout_of_posters_holds_a_code(layout) -> None:
    found = 0
    for seed in range(4):
        page = _page(seed)
        layout(page, notice_of(page.rng, False, "event"), False)
        found += bool(zxingcpp.read_barcodes(typeset(page, EMBEDDED_FONTS, 700)))
    assert found >= 2


@pytest.mark.usefixtures("without_fonts")
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_writes_both_kinds(kind: str, tmp_path: Path) -> None:
    assert main(["--kind", kind, "--count", "2", "--seed", "3", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.iterdir())) == 2

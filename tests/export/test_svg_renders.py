# ruff: noqa: RUF001 - full-width marks have rules of their own
"""The SVG renderer: repeatable, decodable, in words of its own, with codes that readers read."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import zxingcpp
from PIL import Image

from export.errors import MissingFontsError
from export.render.__main__ import main
from export.render.browser import phrases as browser_phrases
from export.render.pillow import phrases
from export.render.region import Region
from export.render.svg.cards import GROUPS, render_svg_group
from export.render.svg.fonts import Face, SvgFonts, held_out_faces
from export.render.svg.grounds import GROUNDS, random_look
from export.render.svg.notices import LAYOUTS, draw_svg_notice, render_svg_notices
from export.render.svg.ornaments import PICTURES, picture
from export.render.svg.page import (
    Page,
    Style,
    break_lines,
    fit_lines,
    width_of,
)
from export.render.svg.phrases import SUBJECTS, every_phrase, notice_of, poster_words
from export.render.svg.posters import LAYOUTS as POSTER_LAYOUTS
from export.render.svg.posters import code, draw_svg_qr_poster, render_svg_qr_posters
from export.render.typst import phrases as typst_phrases
from worker.model.decode import ImageLimits, decode

# Installed with matplotlib on every machine that trains; DejaVu has no Japanese, so pages are English.
_DEJAVU = Path(mpl.get_data_path()) / "fonts" / "ttf"
FONTS = SvgFonts((), *((Face.load(_DEJAVU / f"DejaVu{name}.ttf"),) for name in ("Serif", "Sans")))
STYLE = Style(40, "#000000", FONTS.latin[0])


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _page(seed: int, height: float = 1000, photos: tuple[Path, ...] = ()) -> Page:
    rng = _rng(seed)
    page = Page(rng, height, random_look(rng, FONTS, japanese=False), photos)
    page.rect(page.whole, page.look.ground)
    return page


def _pixels(page: Page) -> np.ndarray:
    return np.asarray(page.rasterise(200), dtype=int)


@pytest.mark.parametrize("group", GROUPS)
def test_groups_are_repeatable_and_each_draws_its_own(group) -> None:
    first, again, other = (render_svg_group(group, seed, 1, fonts=FONTS)[0] for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert first not in {render_svg_group(name, 5, 1, fonts=FONTS)[0] for name in set(GROUPS) - {group}}


def _ink(layout, seed: int) -> np.ndarray:
    """Where a layout draws on a plain page, bool [rows, columns]."""
    page, notice = _page(seed), notice_of(_rng(seed), False, "shipping")
    plain = _pixels(page)
    layout(page, notice)
    return np.asarray((np.abs(_pixels(page) - plain) > 40).any(axis=2))


def test_a_heading_fills_its_page_and_a_small_table_leaves_most_of_it_empty() -> None:
    for seed in range(4):
        table, words = (_ink(GROUPS[name][0], seed) for name in ("small-table", "heading"))
        middle = table[40:-40, 60:-60]  # within the frame, where one is drawn
        assert np.ptp(np.nonzero(words.any(axis=0))[0]) > 0.6 * words.shape[1]
        assert 0.2 < middle.any(axis=1).mean() < 0.8


@pytest.mark.parametrize("render", [render_svg_notices, render_svg_qr_posters])
def test_uploads_are_repeatable_and_differ_by_seed(render) -> None:
    first, again, other = (render(seed, 2, fonts=FONTS) for seed in (5, 5, 6))
    assert first == again
    assert not set(first) & set(other)
    assert render(5, 1, fonts=FONTS) == first[:1]


@pytest.mark.parametrize("render", [render_svg_notices, render_svg_qr_posters])
def test_uploads_decode_with_the_workers_decoder_and_differ_in_size(render) -> None:
    uploads = render(1, 6, fonts=FONTS)
    images = [Image.open(io.BytesIO(data)) for data in uploads]
    assert len({image.size for image in images}) > 3
    assert len({image.format for image in images}) > 1
    assert all(300 <= min(image.size) <= max(image.size) <= 1350 for image in images)
    for data in uploads:
        assert decode(data, 32, 32, ImageLimits()).pixels.shape == (32, 32, 3)


def test_every_notice_has_something_written_on_it() -> None:
    for seed in range(8):
        image = draw_svg_notice(_rng(seed), FONTS)
        edges = np.abs(np.diff(np.asarray(image.convert("L"), dtype=float), axis=1)) > 12
        assert edges.mean() > 0.002, f"seed {seed} is nearly blank"


@pytest.mark.parametrize("layout", [layout for layout, _, _ in LAYOUTS])
@pytest.mark.parametrize("height", [525, 1250])
def test_each_layout_writes_its_words_on_wide_and_tall_pages(layout, height: float) -> None:
    page = _page(3, height)
    bare = _pixels(page)
    layout(page, notice_of(page.rng, False, "closed"))
    assert (np.abs(_pixels(page) - bare).sum(axis=2) > 30).mean() > 0.005
    assert "<text" in page.svg()


@pytest.mark.parametrize("layout", [layout for layout, _, _ in LAYOUTS])
def test_each_layout_takes_japanese_words(layout) -> None:
    page = _page(4)
    layout(page, notice_of(page.rng, True, "rules"))
    assert any(ord(character) > 0x3000 for character in page.svg())


@pytest.mark.parametrize("ground", [ground for ground, _, _ in GROUNDS])
def test_each_ground_covers_the_page_in_the_pages_own_colours(ground) -> None:
    page = _page(8)
    ground(page)
    assert _pixels(page).shape == (200, 200, 3)
    assert len(page.parts) > 1 or ground.__name__ == "plain"


def test_shares_of_grounds_add_up_to_one() -> None:
    assert sum(share for _, share, _ in GROUNDS) == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_each_picture_leaves_ink_where_it_is_put(name: str) -> None:
    page = _page(2)
    bare = _pixels(page)
    picture(page, name, 0, 0, 500)
    changed = np.abs(_pixels(page) - bare).sum(axis=2) > 10
    assert changed[:110, :110].mean() > 0.05
    assert not changed[110:, 110:].any()


def test_photos_are_laid_dimmed_under_the_whole_page(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "red.png")
    page = _page(2, photos=(tmp_path / "red.png",))
    assert page.photo(page.whole, blur=0.03, dim=0.5)
    assert _pixels(page)[100, 100].tolist() == pytest.approx([228, 142, 142], abs=3)


def test_marks_of_xml_are_written_as_they_are() -> None:
    page = _page(1)
    page.block(page.whole, '<b> & "x" </svg>', STYLE.replace(size=100))
    assert "&lt;b&gt; &amp; &quot;x&quot; &lt;/svg&gt;" in page.svg()
    assert (_pixels(page).max(axis=2) < 80).mean() > 0.01


def test_lines_break_between_words_and_never_before_a_closing_mark() -> None:
    words = "one two three four five six seven"
    lines = break_lines(words, STYLE, 250)
    assert " ".join(lines) == words
    assert all(width_of(line, STYLE) <= 250 for line in lines)
    for width in range(60, 300, 20):
        for line in break_lines("「あいうえお。」かき（くけ）、こさ！しす", STYLE, width):
            assert line[0] not in "。」）、！"
            assert line[-1] not in "「（"


@pytest.mark.parametrize("gap", [None, 0, 12])
def test_regions_are_cut_by_shares_with_gaps_between(gap: float | None) -> None:
    first, second, third = Region(10, 20, 300, 424).rows(1, 2, 1, gap=gap)
    room = 424 - 2 * (gap or 0)
    assert [row.height for row in (first, second, third)] == pytest.approx([room / 4, room / 2, room / 4])
    assert second.y - first.y - first.height == pytest.approx(gap or 0)
    assert third.y + third.height == pytest.approx(444)
    assert {(row.x, row.width) for row in (first, second, third)} == {(10, 300)}
    left, right = Region(10, 20, 300, 424).columns(1, 2, gap=gap)
    assert right.x == pytest.approx(left.x + left.width + (gap or 0))
    assert right.width == pytest.approx(2 * left.width)


def test_words_shrink_until_they_fit_their_box() -> None:
    box = Region(0, 0, 300, 120)
    lines, style = fit_lines(
        "a rather long sentence that cannot stand here at the size asked for", STYLE, box
    )
    assert style.size < STYLE.size
    assert all(width_of(line, style) <= 306 for line in lines)
    assert len(lines) * style.size <= 120


def test_no_words_are_shared_with_the_other_renderers() -> None:
    others = phrases.every_phrase() | browser_phrases.every_phrase() | typst_phrases.every_phrase()
    assert len(others) > 200
    ours = {phrase.casefold() for phrase in every_phrase()}
    assert len(ours) > 250
    assert not ours & {phrase.casefold() for phrase in others}


@pytest.mark.parametrize("japanese", [True, False])
def test_every_subject_is_written_out_in_both_languages(japanese: bool) -> None:
    for words in (poster_words(_rng(4), japanese), *(notice_of(_rng(4), japanese, s) for s in SUBJECTS)):
        assert len(words.lines) >= 4
        assert not set("{}|") & set(words.headline + words.subtitle + "".join(words.lines))


def test_missing_fonts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFontsError, match="fonts-sawarabi"):
        held_out_faces(tmp_path)


def test_most_codes_are_read_whatever_their_style() -> None:
    read = 0
    for seed in range(20):
        page = _page(seed)
        code(page, page.area)
        read += bool(zxingcpp.read_barcodes(page.rasterise(500)))
    assert read >= 16


def test_most_posters_are_read_by_a_decoder() -> None:
    posters = [draw_svg_qr_poster(_rng(seed), FONTS) for seed in range(14)]
    assert sum(bool(zxingcpp.read_barcodes(poster)) for poster in posters) >= 11


@pytest.mark.parametrize("layout", [layout for layout, _ in POSTER_LAYOUTS])
def test_each_layout_of_posters_holds_a_code(layout) -> None:
    found = 0
    for seed in range(3):
        page = _page(seed)
        layout(page, poster_words(page.rng, False))
        found += bool(zxingcpp.read_barcodes(page.rasterise(600)))
    assert found >= 2


def test_the_command_writes_both_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("notices", "posters"):
        monkeypatch.setattr(f"export.render.svg.{module}.held_out_faces", lambda: FONTS)
    for kind in ("svg_notice", "svg_qr_poster"):
        assert main(["--kind", kind, "--count", "2", "--seed", "3", "--out", str(tmp_path / kind)]) == 0
        assert len(list((tmp_path / kind).iterdir())) == 2

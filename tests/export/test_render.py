"""Renderers: the same seed gives the same image, another seed another, and codes are real codes."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from export import cli
from export.errors import MissingFontsError
from export.render.__main__ import main
from export.render.browser import phrases as browser_phrases
from export.render.browser.notices import notice_html
from export.render.camera import lay_down, photograph, texture, to_bytes
from export.render.pillow.canvas import photo_background
from export.render.pillow.fonts import FontBook, installed_fonts
from export.render.pillow.notices import LAYOUTS, render_notice
from export.render.pillow.phrases import random_notice, random_table
from export.render.pillow.products import (
    close_up,
    cut_out,
    faded,
    render_hard_product,
    with_all_over_print,
    with_details,
    with_print,
)
from export.render.pillow.qr import draw_code, random_code, render_qr_photo, render_qr_poster
from export.render.svg.fonts import held_out_faces
from export.render.typst.fonts import training_fonts
from export.render.uploads import suffix_of
from export.starter import command
from export.starter.images import rendered_pixels
from worker.model.decode import ImageLimits, decode


@pytest.fixture(scope="module")
def fonts() -> FontBook:
    """matplotlib brings this font, so the tests need none of the machine's."""
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return FontBook((font,), (font,), (font,), (font,))


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _photo() -> Image.Image:
    return texture(_rng(3), 160, 200)


def test_notices_are_repeatable_and_differ_by_seed(fonts: FontBook) -> None:
    first, again, other = (np.asarray(render_notice(_rng(s), fonts)) for s in (4, 4, 5))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_every_notice_has_something_written_on_it(fonts: FontBook) -> None:
    for seed in range(25):
        pixels = np.asarray(render_notice(_rng(seed), fonts).convert("L"), dtype=np.float32)
        edges = np.abs(np.diff(pixels, axis=1)) > 12
        assert edges.mean() > 0.002, f"seed {seed} is nearly blank"


def test_layout_shares_add_up_to_one() -> None:
    assert sum(share for _, share in LAYOUTS) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["poster", "photo"])
def test_qr_images_are_repeatable(kind: str, fonts: FontBook) -> None:
    def draw(seed: int) -> np.ndarray:
        image = render_qr_poster(_rng(seed), fonts) if kind == "poster" else render_qr_photo(_rng(seed))
        return np.asarray(image)

    assert np.array_equal(draw(8), draw(8))
    assert draw(8).shape != draw(9).shape or not np.array_equal(draw(8), draw(9))


def test_codes_have_the_three_finder_patterns() -> None:
    finder = np.pad(np.pad(np.ones((3, 3), bool), 1), 1, constant_values=True)
    for seed in range(10):
        code = random_code(_rng(seed))
        assert code.shape[0] == code.shape[1] >= 21
        for corner in (code[:7, :7], code[:7, -7:], code[-7:, :7]):
            assert np.array_equal(corner, finder)


def test_drawn_code_has_the_asked_side() -> None:
    assert draw_code(_rng(1), 90).size == (90, 90)


def test_changed_products_keep_most_of_the_photo(fonts: FontBook) -> None:
    photo = _photo()
    changed = np.asarray(with_print(_rng(2), fonts, photo), dtype=int)
    same = (np.abs(changed - np.asarray(photo, dtype=int)).sum(axis=2) == 0).mean()
    assert 0.5 < same < 1.0


def test_cut_out_puts_the_photo_on_another_ground() -> None:
    photo = _photo()
    corner = np.asarray(cut_out(_rng(6), photo))[:5, :5]
    assert not np.array_equal(corner, np.asarray(photo)[:5, :5])


def test_a_close_up_is_a_window_of_the_photo() -> None:
    photo = np.asarray(_photo())
    part = np.asarray(close_up(_rng(3), Image.fromarray(photo)))
    height, width = part.shape[:2]
    assert 0.3 <= height / photo.shape[0] <= 0.75
    rows, columns = (photo.shape[i] - part.shape[i] + 1 for i in range(2))
    windows = (photo[y : y + height, x : x + width] for y in range(rows) for x in range(columns))
    assert any(np.array_equal(window, part) for window in windows)


def test_a_faded_photo_keeps_its_shapes_with_less_contrast() -> None:
    photo = np.asarray(_photo(), dtype=float)
    pale = np.asarray(faded(_rng(4), Image.fromarray(photo.astype(np.uint8))), dtype=float)
    assert 0.3 < pale.std() / photo.std() < 0.8
    assert np.corrcoef(pale[..., 0].ravel(), photo[..., 0].ravel())[0, 1] > 0.95


def test_an_all_over_print_repeats_within_the_middle(fonts: FontBook) -> None:
    photo = Image.new("RGB", (240, 240), (210, 200, 190))
    for seed in range(4):
        changed = np.asarray(with_all_over_print(_rng(seed), fonts, photo), dtype=int)
        inked = np.abs(changed - np.asarray(photo, dtype=int)).sum(axis=2) > 30
        quarters = [inked[y : y + 120, x : x + 120].mean() for y in (0, 120) for x in (0, 120)]
        assert min(quarters) > 0.002
        assert not inked[:4].any()


def test_details_fill_the_cells_beside_the_photo() -> None:
    sizes = {with_details(_rng(seed), Image.new("RGB", (100, 80), "red")).size for seed in range(12)}
    assert len(sizes) > 3
    image = np.asarray(with_details(_rng(1), Image.new("RGB", (100, 80), "red")), dtype=int)
    assert ((image == (255, 0, 0)).all(axis=2)).mean() > 0.85


def test_a_photo_under_words_is_blurred_beyond_its_edges() -> None:
    stripes = Image.fromarray(
        np.tile(np.repeat([[0, 255]], 10, axis=1).repeat(3, axis=0), (60, 16)).astype(np.uint8)
    )
    for seed in range(8):
        ground, _ = photo_background(_rng(seed), 320, 240, [stripes])
        assert np.abs(np.diff(np.asarray(ground.convert("L"), dtype=int), axis=1)).max() < 20


def test_hard_products_come_from_the_named_photo(fonts: FontBook) -> None:
    red, blue = (Image.new("RGB", (80, 80), colour) for colour in ("red", "blue"))
    image = np.asarray(render_hard_product(_rng(1), fonts, [red, blue], 1), dtype=float).mean(axis=(0, 1))
    assert image[2] > image[0]


def test_a_sheet_laid_larger_than_the_ground_covers_it() -> None:
    white, black = Image.new("RGB", (50, 50), "white"), Image.new("RGB", (100, 100), "black")
    assert np.asarray(lay_down(_rng(0), white, black, 3.0, 0.0, 0.0)).min() == 255
    assert np.asarray(lay_down(_rng(0), white, black, 0.3, 0.0, 0.0)).mean() < 60


def test_uploads_decode_with_the_workers_decoder() -> None:
    for seed in range(12):
        rng = _rng(seed)
        data = to_bytes(rng, photograph(rng, _photo()))
        assert decode(data, 32, 32, ImageLimits()).pixels.shape == (32, 32, 3)


def test_tables_are_rectangular() -> None:
    for seed in range(12):
        table = random_table(_rng(seed), japanese=bool(seed % 2))
        assert len({len(row) for row in table}) == 1


def test_second_renderer_shares_no_words_with_the_first() -> None:
    trained = {random_notice(_rng(s), bool(s % 2), 12).title for s in range(400)}
    trained |= {line for s in range(400) for line in random_notice(_rng(s), bool(s % 2), 12).lines}
    assert not trained & browser_phrases.every_phrase()


def test_second_renderer_writes_repeatable_pages() -> None:
    assert notice_html(_rng(7)) == notice_html(_rng(7))
    assert "<h1" in notice_html(_rng(7))


def test_missing_fonts_say_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingFontsError, match="apt-get install fonts-noto-cjk"):
        installed_fonts(tmp_path)


FONTS = {
    "notice": ("uploads.installed_fonts", installed_fonts, "fonts-noto-cjk"),
    "typst_notice": ("uploads.training_fonts", training_fonts, "fonts-noto-cjk"),
    "svg_notice": ("svg.notices.held_out_faces", held_out_faces, "fonts-sawarabi-gothic"),
    "svg_qr_poster": ("svg.posters.held_out_faces", held_out_faces, "fonts-sawarabi-gothic"),
}


@pytest.mark.parametrize("kind", FONTS)
def test_the_command_says_in_a_sentence_which_fonts_to_install(
    kind: str, fonts: FontBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("export.render.uploads.installed_fonts", lambda: fonts)
    name, find, package = FONTS[kind]
    monkeypatch.setattr(f"export.render.{name}", lambda: find(tmp_path / "none"))
    assert main(["--kind", kind, "--count", "1", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m export.render: ")
    assert said.count("\n") == 1
    assert f"{tmp_path / 'none'}: apt-get install" in said
    assert package in said


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("", "apt-get install chromium"),
        ("#!/bin/sh\necho no room left >&2\nexit 3\n", "failed with exit code 3: no room left"),
        ("#!/bin/sh\n", "wrote no screenshot"),
    ],
)
def test_the_command_says_in_a_sentence_what_ails_the_browser(
    script: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if script:
        (tmp_path / "chromium").write_text(script)
        (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--kind", "browser_notice", "--count", "1", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sentence in said


def test_mekiki_bundle_says_in_a_sentence_which_fonts_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.render.uploads.installed_fonts", lambda: installed_fonts(tmp_path))
    monkeypatch.setattr(command, "load_sources", lambda *_: rendered_pixels(tmp_path, "notice", 1, 2, ()))
    assert cli.main(["bundle", "starter", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "mekiki: no fonts to render with" in said
    assert "apt-get install fonts-noto-cjk" in said
    assert "Traceback" not in said


def test_upload_formats_vary() -> None:
    formats = {Image.open(io.BytesIO(to_bytes(_rng(s), _photo()))).format for s in range(60)}
    assert formats == {"JPEG", "PNG", "WEBP"}


def test_folders_of_renders_refuse_what_cannot_be_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--kind", "product", "--count", "1", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(asked)
    with pytest.raises(SystemExit):
        main([*asked, "--photos", str(tmp_path)])
    said = capsys.readouterr().err
    assert "needs --photos" in said
    assert "holds no image" in said


def test_upload_bytes_say_their_suffix() -> None:
    suffixes = {suffix_of(to_bytes(_rng(s), _photo())) for s in range(60)}
    assert suffixes == {".jpg", ".png", ".webp"}

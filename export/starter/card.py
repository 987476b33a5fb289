"""The model card, written from measured figures."""

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from export.starter.recipe import Recipe

Figures = Mapping[str, JsonValue]


def _told(value: JsonValue) -> str:
    if isinstance(value, dict) and {"hit", "total", "percent"} <= value.keys():
        return f"{value['percent']} % ({value['hit']} of {value['total']})"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {part}" for key, part in value.items())
    return str(value)


def _rows(figures: Figures) -> str:
    rows = (
        f"| {name.replace('_', ' ')} | {_told(value)} |" for name, value in figures.items() if name != "seeds"
    )
    return "\n".join(rows)


def _by_seed(seeds: Mapping[str, Mapping[str, Figures]], part: str) -> str:
    """A table with a row a figure and a column a seed."""
    head = "| | " + " | ".join(f"seed {seed}" for seed in seeds) + " |\n" + "|---" * (len(seeds) + 1) + "|"
    names = next(iter(seeds.values()))[part]
    rows = (
        f"| {name} | " + " | ".join(_told(figures[part][name]) for figures in seeds.values()) + " |"
        for name in names
    )
    return "\n".join([head, *rows])


def model_card(version: str, figures: Figures, recipe: Recipe) -> str:
    """Markdown: what the bundle is, what it was made from, how good it is, what it is not for."""
    allowed = 100 * recipe.filter.false_positive_share
    seeds = cast("Mapping[str, Mapping[str, Figures]]", figures["seeds"])
    return f"""# starter {version}

One strided convolutional trunk (128 px in, trained from scratch) with an embedding, a notice score, a QR
score and a photo-quality preference; tags are boosted trees over the embedding.

- **text, qr**: how well a reinforcer (ALOCC), trained on its class alone, restores the image in the trunk's
  verdict space of 32 numbers. 0.5 is the threshold. The trunk itself was trained on products, notices and QR
  codes, so the space knows all three; the reinforcers know their own class.
- **preference**: RankNet over controlled degradations. It means photo quality, not taste.
- **embedding**: 128 numbers of length 1, for similar items: 96 of the trunk's depths, 32 of a shallow branch
  over the averaged image, which keeps colour.
- **copy**: 64 numbers of length 1, in which edited copies of one photo lie close and other photos of the same
  thing do not.

Made by `mekiki bundle starter --data ../shared/data --out worker/bundles/starter`: seed {figures["seed"]},
the first named. No seed was picked by its figures.

## Data

| source | licence | use |
|---|---|---|
| clothing photos (alexeygrigorev/clothing-dataset) | CC0-1.0 | all but the reinforcers; split by sender |
| grocery photos (marcusklasson/GroceryStoreDataset) | MIT | the same; its `val` split is held |
| {recipe.notices} notices by Pillow, {recipe.browser_notices} by Chromium | rendered | trunk, text |
| {recipe.typst_notices} notices by Typst | rendered | trunk, text |
| {recipe.qr_posters} QR posters by Pillow, {recipe.typst_qr_posters} by Typst | rendered | trunk, qr |
| {recipe.qr_photos} QR photographs | rendered | trunk, qr |
| {recipe.products} product photos with prints, captions, frames, close up, faded | changed here | trunk |

There is no openly licensed set of real shop notices, so the notices are rendered: words, layouts,
colours, cameras are invented. Nothing was trained on other weights.

## The filter on images that it was not trained on

What the default policy blocks: false positives for photos, recall for notices and QR codes. The thresholds
accept both classes at one rate, the largest at which both scores together flag at most {allowed:.1f} % of any
group of training-side photos (clothing and grocery, trained on and of calibration senders). `svg` is a
renderer that is not trained on, `zxing` photographs of another source, `held` other seeds of the renderers
trained on; `printed-shirts` are part of `clothing-test`.

{_by_seed(seeds, "blocked")}

The parts of the filter, each cut at {allowed:.1f} % of calibration senders' photos; restoration is served.

{_by_seed(seeds, "parts")}

## Other figures of this seed

| what | measured |
|---|---|
{_rows(figures)}

## Limits

Photos of books, packages full of text and screenshots of other kinds are under-represented; a shop that
sells them sets its category's threshold higher (`policy.categories`). Tags know the labels of the two
photo sets alone and are weak for rare ones.
"""

"""The model card, written from measured figures."""

from collections.abc import Mapping

from pydantic import JsonValue

from export.starter.recipe import Recipe


def _rows(figures: Mapping[str, JsonValue]) -> str:
    rows = []
    for name, value in figures.items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} {part}" for key, part in value.items())
        else:
            text = str(value)
        rows.append(f"| {name.replace('_', ' ')} | {text} |")
    return "\n".join(rows)


def model_card(version: str, figures: Mapping[str, JsonValue], recipe: Recipe) -> str:
    """Markdown: what the bundle is, what it was made from, how good it is, what it is not for."""
    return f"""# starter {version}

One strided convolutional trunk (128 px, trained from scratch) with four heads: an embedding, a notice
score and a QR score by ALOCC over mid-level features, and a photo-quality preference by RankNet. Tags are
boosted trees over the embedding.

## Data

| source | licence | use |
|---|---|---|
| clothing photos, alexeygrigorev/clothing-dataset | CC0-1.0 | trunk, tags, preference, thresholds; split by sender |
| grocery photos, marcusklasson/GroceryStoreDataset | MIT | the same; its `val` split is held |
| {recipe.notices} notices, {recipe.qr_posters} QR posters, {recipe.qr_photos} QR photographs | rendered by `export.render` | trunk, reinforcers |
| {recipe.products} changed product photos (prints, captions, frames, cut-outs) | rendered from the above | trunk |

There is no openly licensed set of real shop notices: the notices are rendered. There are no preference
ratings: preference means photo quality over controlled degradations.

## Figures

Thresholds let {100 * recipe.false_positive_share:.1f} % of training-side product photos through as a notice or a QR code.
`blocked` counts what the default policy blocks.

| what | measured |
|---|---|
{_rows(figures)}
"""

"""What shop notices say, in Japanese and English: invented copy with random dates, prices and names."""

from dataclasses import dataclass

import numpy as np

from export.render.data_file import DataFile

Table = list[list[str]]


@dataclass(frozen=True)
class NoticeText:
    """A notice before it is drawn: a title, lines of body and, sometimes, a table."""

    title: str
    lines: list[str]
    table: Table | None
    japanese: bool


class Language(DataFile):
    """The words of one language; `{...}` in titles and lines are filled by chance."""

    titles: tuple[str, ...]
    lines: tuple[str, ...]
    calls: tuple[str, ...]
    week: tuple[str, ...]
    size_columns: tuple[str, ...]
    price_columns: tuple[str, ...]
    price_items: tuple[str, ...]
    currency: str
    delivery_columns: tuple[str, ...]
    delivery_regions: tuple[str, ...]


class Phrases(DataFile):
    """All words that Pillow draws; calls stand beside QR codes, slogans on products."""

    weekdays: tuple[str, ...]
    months: tuple[str, ...]
    accounts: tuple[str, ...]
    people: tuple[str, ...]
    slogans: tuple[str, ...]
    japanese: Language
    english: Language

    def language(self, japanese: bool) -> Language:
        """The words of one language."""
        return self.japanese if japanese else self.english


PHRASES = Phrases.beside(__file__, "phrases.toml")


def _fill(template: str, rng: np.random.Generator) -> str:
    day = int(rng.integers(1, 25))
    hour = int(rng.integers(8, 12))
    return template.format(
        p=int(rng.integers(1, 19)) * 5,
        n=int(rng.integers(1, 10)),
        n2=int(rng.integers(10, 21)),
        m=int(rng.integers(1, 13)),
        d=day,
        d2=day + int(rng.integers(1, 6)),
        w=PHRASES.weekdays[int(rng.integers(7))],
        mon=PHRASES.months[int(rng.integers(12))],
        y=f"{int(rng.integers(2, 200)) * 50:,}",
        y2=int(rng.integers(10, 200)),
        k=int(rng.integers(1000, 9999)),
        h=hour,
        h2=hour + int(rng.integers(6, 11)),
        u=PHRASES.accounts[int(rng.integers(len(PHRASES.accounts)))],
        s=PHRASES.people[int(rng.integers(len(PHRASES.people)))],
        c="".join(rng.choice(list("ABCDEFGHJKLMNPQRSTUVWXYZ23456789"), 6)),
    )


def random_table(rng: np.random.Generator, japanese: bool) -> Table:
    """A size table, a price list, or delivery times, with a header row."""
    kind, words = int(rng.integers(3)), PHRASES.language(japanese)
    if kind == 0:
        sizes = ["XS", "S", "M", "L", "XL", "XXL"][: int(rng.integers(3, 7))]
        measures = words.size_columns[1:]
        rows = [[size, *(str(int(rng.integers(20, 120))) for _ in measures)] for size in sizes]
        return [list(words.size_columns), *rows]
    if kind == 1:
        items = words.price_items[: int(rng.integers(3, 8))]
        prices = [[item, f"{words.currency}{int(rng.integers(3, 99)) * 100:,}"] for item in items]
        return [list(words.price_columns), *prices]
    costs = [
        [region, str(int(rng.integers(3, 20)) * 100), str(int(rng.integers(1, 15)))]
        for region in words.delivery_regions
    ]
    return [list(words.delivery_columns), *costs]


def random_notice(rng: np.random.Generator, japanese: bool, lines: int) -> NoticeText:
    """A notice with about `lines` lines of body; a third of them carry a table."""
    words = PHRASES.language(japanese)
    chosen = rng.choice(len(words.lines), size=min(lines, len(words.lines)), replace=False)
    return NoticeText(
        title=_fill(words.titles[int(rng.integers(len(words.titles)))], rng),
        lines=[_fill(words.lines[int(i)], rng) for i in chosen],
        table=random_table(rng, japanese) if rng.random() < 0.3 else None,
        japanese=japanese,
    )


def every_phrase() -> set[str]:
    """All titles and lines, unfilled, for a comparison with other renderers' words."""
    return {
        phrase for words in (PHRASES.japanese, PHRASES.english) for phrase in (*words.titles, *words.lines)
    }

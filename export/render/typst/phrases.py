"""The words of the notices that Typst sets, by subject."""

from dataclasses import dataclass

import numpy as np

from export.render.data_file import DataFile


class Subject(DataFile):
    """What is said on one subject; `|` is a place where a headline may break."""

    headlines: tuple[str, ...]
    lines: tuple[str, ...]


class Language(DataFile):
    """The words of one language: kickers above headlines, calls beside codes, words of tables and screens."""

    kickers: tuple[str, ...]
    shops: tuple[str, ...]
    people: tuple[str, ...]
    measures: tuple[str, ...]
    goods: tuple[str, ...]
    chat: tuple[str, ...]
    calls: tuple[str, ...]
    size_titles: tuple[str, ...]
    size_names: tuple[str, ...]
    price_titles: tuple[str, ...]
    price: str
    total: str
    coupon_titles: tuple[str, ...]
    coupon_values: tuple[str, ...]
    discounts: tuple[str, ...]
    month_title: str
    week: tuple[str, ...]
    closed_legend: str
    weekdays: tuple[str, ...]
    diagram_title: str
    subjects: dict[str, Subject]


class Phrases(DataFile):
    """All words that Typst sets."""

    accounts: tuple[str, ...]
    months: tuple[str, ...]
    japanese: Language
    english: Language

    def language(self, japanese: bool) -> Language:
        """The words of one language."""
        return self.japanese if japanese else self.english


PHRASES = Phrases.beside(__file__, "phrases.toml")
SUBJECTS = tuple(PHRASES.japanese.subjects)


@dataclass(frozen=True)
class Notice:
    """A notice before it is set: headline parts (a line may break between them), lines, a shop's name."""

    subject: str
    headline: tuple[str, ...]
    kicker: str
    lines: tuple[str, ...]
    shop: str
    japanese: bool

    @property
    def title(self) -> str:
        """The headline on one line."""
        return ("" if self.japanese else " ").join(self.headline)


def pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    """One of `choices`, at random."""
    return choices[int(rng.integers(len(choices)))]


def filled(template: str, rng: np.random.Generator) -> str:
    """`template` with its blanks (days, prices, names) filled in."""
    day, hour = int(rng.integers(1, 26)), int(rng.integers(9, 12))
    if "{" not in template:
        return template
    return template.format(
        p=pick(rng, ("10", "15", "20", "25", "30", "40", "50", "70")),
        n=int(rng.integers(2, 8)),
        n2=int(rng.integers(8, 31)),
        m=int(rng.integers(1, 13)),
        d=day,
        d2=day + int(rng.integers(2, 5)),
        w="月火水木金"[int(rng.integers(5))],
        mon=pick(rng, PHRASES.months),
        h=hour,
        h2=hour + int(rng.integers(5, 9)),
        y=f"{int(rng.integers(3, 90)) * 110:,}",
        y2=int(rng.integers(5, 120)),
        k=int(rng.integers(1000, 9999)),
        u=pick(rng, PHRASES.accounts),
        s=pick(rng, PHRASES.japanese.people),
        name=pick(rng, PHRASES.english.people),
    )


def notice_of(rng: np.random.Generator, japanese: bool, subject: str) -> Notice:
    """A notice on `subject` (one of `SUBJECTS`) with all its lines in a random order."""
    words = PHRASES.language(japanese)
    chosen = words.subjects[subject]
    order = rng.permutation(len(chosen.lines))
    headline = filled(pick(rng, chosen.headlines), rng)
    return Notice(
        subject=subject,
        headline=tuple(headline.split("|")),
        kicker=filled(pick(rng, words.kickers), rng),
        lines=tuple(filled(chosen.lines[int(i)], rng) for i in order),
        shop=pick(rng, words.shops),
        japanese=japanese,
    )


def every_phrase() -> set[str]:
    """All headlines and lines, unfilled, for a comparison with other renderers' words."""
    found: set[str] = set()
    for words in (PHRASES.japanese, PHRASES.english):
        for subject in words.subjects.values():
            found.update((headline.replace("|", "") for headline in subject.headlines), subject.lines)
    return found

"""The words of the SVG notices: what small shops write, by subject, in Japanese and English."""

from dataclasses import dataclass

import numpy as np

from export.render.data_file import DataFile


class Poster(DataFile):
    """What stands above and below a code."""

    headlines: tuple[str, ...]
    subtitles: tuple[str, ...]


class Subject(Poster):
    """What is said on one subject; subtitles stand below a headline, sentences in the text."""

    sentences: tuple[str, ...]


class Labels(DataFile):
    """Words of lists, tables and screens."""

    notice: tuple[str, ...]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    fees: str
    area: str
    fee: str
    amount: str
    days: tuple[str, ...]
    closed: str
    more: str
    coupon: str


class Language(DataFile):
    """The words of one language; `regions` go from the cheapest postage to the dearest."""

    people: tuple[str, ...]
    regions: tuple[str, ...]
    labels: Labels
    poster: Poster
    subjects: dict[str, Subject]


class Phrases(DataFile):
    """All words of the SVG notices."""

    shops: tuple[str, ...]
    accounts: tuple[str, ...]
    codes: tuple[str, ...]
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
    """The words of one notice; a line feed in the headline is a place to break it."""

    japanese: bool
    subject: str
    headline: str
    subtitle: str
    lines: tuple[str, ...]
    shop: str
    number: str
    month: int
    away: range  # the days of the month from the first of the two dates to the second

    @property
    def title(self) -> str:
        """The headline on one line."""
        return self.headline.replace("\n", "" if self.japanese else " ")


def _values(rng: np.random.Generator, japanese: bool, month: int, away: range) -> dict[str, str]:
    dates = [
        f"{month}/{d}" if japanese else f"{d} {PHRASES.months[month - 1]}" for d in (away.start, away.stop)
    ]
    shops = PHRASES.shops if japanese else [shop for shop in PHRASES.shops if shop.isascii()]
    shop, account = str(rng.choice(shops)), str(rng.choice(PHRASES.accounts))
    return {
        "d1": dates[0],
        "d2": dates[1],
        "m": str(month),
        "n": str(rng.integers(2, 6)),
        "shop": shop,
        "k": str(rng.integers(6, 10)),
        "pct": str(rng.choice([10, 15, 20, 30, 40, 50, 70])),
        "handle": account,
        "yen": f"{int(rng.integers(3, 40)) * 500:,}",
        "code": str(rng.choice(PHRASES.codes)),
        "y": str(rng.integers(12, 25)),
        "h": str(rng.integers(18, 23)),
        "name": str(rng.choice(PHRASES.language(japanese).people)),
    }


def notice_of(rng: np.random.Generator, japanese: bool, subject: str) -> Notice:
    """A notice on a subject, its headline, lines and numbers drawn from `rng`."""
    return _compose(rng, japanese, subject, PHRASES.language(japanese).subjects[subject])


def poster_words(rng: np.random.Generator, japanese: bool) -> Notice:
    """The words around a code."""
    poster = PHRASES.language(japanese).poster
    words = Subject(headlines=poster.headlines, subtitles=poster.subtitles, sentences=poster.subtitles)
    return _compose(rng, japanese, "poster", words)


def _compose(rng: np.random.Generator, japanese: bool, subject: str, words: Subject) -> Notice:
    month, day = int(rng.integers(1, 13)), int(rng.integers(1, 20))
    away = range(day, day + int(rng.integers(2, 9)))
    values = _values(rng, japanese, month, away)
    headline = str(rng.choice(words.headlines)).format_map(values)
    headline = headline.replace("|", "\n" if rng.random() < 0.75 else ("" if japanese else " "))
    if not japanese and "@" not in headline and rng.random() < 0.3:
        headline = headline.upper()
    chosen = tuple(words.sentences[i].format_map(values) for i in rng.permutation(len(words.sentences)))
    number = values["pct"] + "%" if subject == "sale" else values["d1"]
    subtitle = str(rng.choice(words.subtitles)).format_map(values)
    return Notice(japanese, subject, headline, subtitle, chosen, values["shop"], number, month, away)


def every_phrase() -> set[str]:
    """Every phrase, unfilled and without the marks for breaks, in both languages."""
    found: set[str] = set()
    for words in (PHRASES.japanese, PHRASES.english):
        found.update(words.poster.headlines, words.poster.subtitles)
        for subject in words.subjects.values():
            found.update(subject.headlines, subject.subtitles, subject.sentences)
    return {phrase.replace("|", "") for phrase in found}

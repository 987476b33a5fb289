"""The words of the browser's notices; they are others than those of `pillow.phrases`."""

from export.render.data_file import DataFile


class Language(DataFile):
    """The words of one language."""

    headings: tuple[str, ...]
    lines: tuple[str, ...]
    size_columns: tuple[str, ...]
    size_names: tuple[str, ...]


class Phrases(DataFile):
    """All words that the browser's notices do not share with Pillow's."""

    ribbons: tuple[str, ...]
    japanese: Language
    english: Language

    def language(self, japanese: bool) -> Language:
        """The words of one language."""
        return self.japanese if japanese else self.english


PHRASES = Phrases.beside(__file__, "phrases.toml")


def every_phrase() -> set[str]:
    """All headings and lines, for a comparison with other renderers' words."""
    return {
        phrase for words in (PHRASES.japanese, PHRASES.english) for phrase in (*words.headings, *words.lines)
    }

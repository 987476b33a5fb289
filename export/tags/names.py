"""Tag names: cleaned, so that one tag has one name, and looked over for names that only look alike."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

MOST_LENGTH = 200
_SPACES = re.compile(r"\s+")
# Letters of other scripts that a reader takes for Latin ones: the commonest of Unicode's confusables
# (UTS 39), which NFKC leaves apart.
_CONFUSED = str.maketrans(
    "аеорсухіјѕԁһӏкмтвнАВЕЅІЈКМНОРСТХУαορνικτχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhlkmtbhABESIJKMHOPCTXYaopviktxyABEZHIKMNOPTYX",
)


def clean_name(text: str) -> str | None:
    """The name in NFC, without control and format characters (zero-width ones) and with single spaces.

    None where nothing is left, or more than `MOST_LENGTH` characters.
    """
    plain = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    kept = "".join(char for char in plain if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co"})
    name = _SPACES.sub(" ", kept).strip()
    return name if 0 < len(name) <= MOST_LENGTH else None


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that a person may take for one: by case, width, script or spacing."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_skeleton(name)].append(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _skeleton(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name.translate(_CONFUSED)).casefold()
    return re.sub(r"[\s_-]+", "", folded.translate(_CONFUSED))

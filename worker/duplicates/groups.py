"""Groups: what hangs together by pairs."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Groups(Generic[Item]):
    """Items in groups that pairs join (union by the first seen, with halved paths)."""

    def __init__(self, pairs: Iterable[tuple[Item, Item]] = ()) -> None:
        self._above: dict[Item, Item] = {}
        for one, other in pairs:
            self.join(one, other)

    def join(self, one: Item, other: Item) -> None:
        """Bring the groups of two items together."""
        first, second = self.of(one), self.of(other)
        if first != second:
            self._above[second] = first

    def of(self, item: Item) -> Item:
        """The item that stands for the group of `item`: itself, where it was never joined."""
        above = self._above
        above.setdefault(item, item)
        while above[item] != item:
            above[item] = above[above[item]]
            item = above[item]
        return item

    def together(self, one: Item, other: Item) -> bool:
        """Whether both are in one group."""
        return self.of(one) == self.of(other)

    def members(self) -> list[list[Item]]:
        """The groups of two items or more, each in the order in which its items were first named."""
        found: dict[Item, list[Item]] = {}
        for item in list(self._above):
            found.setdefault(self.of(item), []).append(item)
        return [group for group in found.values() if len(group) > 1]

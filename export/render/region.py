"""A rectangle of a page, and how a layout cuts it up."""

from itertools import accumulate, pairwise
from typing import NamedTuple


class Region(NamedTuple):
    """A rectangle on the page, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, dx: float, dy: float | None = None) -> "Region":
        """The region without a margin of dx and dy on each side."""
        dy = dx if dy is None else dy
        return Region(self.x + dx, self.y + dy, self.width - 2 * dx, self.height - 2 * dy)

    def rows(self, *shares: float, gap: float | None = None) -> list["Region"]:
        """The region cut into rows of the given shares, `gap` between them.

        Without a gap, rows end where the running sum of shares says; with one (0 too), each begins where the
        last one ended. The two differ in a float's last bit: each renderer keeps its own, so that no draw
        changes.
        """
        whole = sum(shares)
        if gap is None:
            edges = [self.height * (part / whole) for part in accumulate(shares, initial=0.0)]
            return [Region(self.x, self.y + top, self.width, low - top) for top, low in pairwise(edges)]
        room, y, out = self.height - gap * (len(shares) - 1), self.y, []
        for share in shares:
            out.append(Region(self.x, y, self.width, room * share / whole))
            y += out[-1].height + gap
        return out

    def columns(self, *shares: float, gap: float | None = None) -> list["Region"]:
        """The region cut into columns of the given shares, `gap` between them, as `rows` does."""
        turned = Region(self.y, self.x, self.height, self.width).rows(*shares, gap=gap)
        return [Region(r.y, r.x, r.height, r.width) for r in turned]

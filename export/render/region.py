"""A rectangle of a page, and how a layout cuts it up."""

from itertools import accumulate, pairwise
from typing import NamedTuple


class Region(NamedTuple):
    """A rectangle on the page, from its upper left corner."""

    x: float
    y: float
    w: float
    h: float

    def inset(self, dx: float, dy: float | None = None) -> "Region":
        """The region without a margin of dx and dy on each side."""
        dy = dx if dy is None else dy
        return Region(self.x + dx, self.y + dy, self.w - 2 * dx, self.h - 2 * dy)

    def rows(self, *shares: float, gap: float | None = None) -> list["Region"]:
        """The region cut into rows of the given shares, `gap` between them.

        Without a gap, rows end where the running sum of shares says; with one (0 too), each begins where the
        last one ended. The two differ in a float's last bit: each renderer keeps its own, so that no draw
        changes.
        """
        whole = sum(shares)
        if gap is None:
            edges = [self.h * (part / whole) for part in accumulate(shares, initial=0.0)]
            return [Region(self.x, self.y + top, self.w, low - top) for top, low in pairwise(edges)]
        room, y, out = self.h - gap * (len(shares) - 1), self.y, []
        for share in shares:
            out.append(Region(self.x, y, self.w, room * share / whole))
            y += out[-1].h + gap
        return out

    def columns(self, *shares: float, gap: float | None = None) -> list["Region"]:
        """The region cut into columns of the given shares, `gap` between them, as `rows` does."""
        turned = Region(self.y, self.x, self.h, self.w).rows(*shares, gap=gap)
        return [Region(r.y, r.x, r.h, r.w) for r in turned]

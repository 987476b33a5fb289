"""The soft histogram of the shallow branch, as the graph computes it."""

import torch

from export.embedding.heads import Shallow, shares_of


def test_the_shares_are_those_of_a_softmax_also_where_its_exponents_are_large() -> None:
    exponents = torch.randn(3, 64, 8, 8, generator=torch.Generator().manual_seed(1))
    for scale in (1.0, 100.0, 10_000.0):
        shares = shares_of(exponents * scale)
        torch.testing.assert_close(shares, torch.softmax(exponents * scale, dim=1), rtol=1e-5, atol=1e-7)


def test_a_vector_of_one_image_is_that_of_its_row_in_a_batch() -> None:
    torch.manual_seed(2)
    branch, small = Shallow().eval(), torch.rand(4, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(branch(small)[2:3], branch(small[2:3]), rtol=0, atol=1e-6)

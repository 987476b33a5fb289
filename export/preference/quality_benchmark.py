"""`mekiki evaluate quality`: how often photos rank above worse versions of them, each seed by other senders.

As `mekiki train preference --images` learns it. The versions are drawn once; a seed draws which photos are
held, and the training. The first, 0, is the split and the training of that command.
"""

import argparse
from pathlib import Path

import torch

from export.data import data_digest
from export.embedding.part import read_encoder
from export.metrics import summary
from export.preference.quality import (
    held_ladders,
    pairs_right_by_kind,
    train_quality_head,
    versions_of_split,
)
from export.preference.versions import VERSIONS_FOLDER, read_versions
from export.run import open_run
from export.training_split import SALT, read_whole, split_in_two


def evaluate_quality(arguments: argparse.Namespace) -> int:
    """Measure, a line for each seed and one of all; 0 when done.

    Raises:
        DatasetError: the photos cannot be used.
        PartError: --encoder is no embedding.
        RunFolderError: see `open_run`.

    """
    torch.set_num_threads(1)
    encoder = read_encoder(Path(arguments.encoder))
    dataset = read_whole(arguments.images, arguments)
    asked = {name: value for name, value in vars(arguments).items() if name not in _NOT_OF_A_RUN}
    run = open_run(Path(arguments.out), asked, data_digest(dataset), resume=arguments.resume)
    versions = read_versions(encoder, dataset, 0, run.path / VERSIONS_FOLDER, arguments.max_broken)
    found = []
    for seed in arguments.seeds:
        split = split_in_two(dataset, "--images", f"{SALT}-{seed}" if seed else SALT)
        train, held = versions_of_split(versions, split)
        head = train_quality_head(train, seed, arguments.epochs)
        found.append(pairs_right_by_kind(head, held_ladders(held, seed)))
        run.log(phase=f"quality-{seed}", epoch=0, train=len(train.names), held=len(held.names), **found[-1])
    for kind in found[0]:
        told = {key: round(value, 4) for key, value in summary([one[kind] for one in found]).items()}
        run.log(phase="summary", epoch=0, kind=kind, seeds=len(found), **told)
        print(f"{kind}, {len(found)} seeds: {told}")  # noqa: T201 - what the command answers
    return 0


_NOT_OF_A_RUN = {"func", "out", "resume", "seeds", "epochs"}

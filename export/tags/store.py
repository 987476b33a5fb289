"""Store: what a run keeps so that tags can be added, trained again or taken out: images, vectors, recipe.

RUN/tag-images/
    recipe.json      the recipe, the version's number, how many images a tag needs
    images.json      name and sender of each training image
    vectors.npy      float32 [n, dim]
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from export.errors import TagsError
from export.parts import PART_FILE, PARTS_FOLDER, Part, PartFolder, describe_file, write_part
from export.tags.recipe import TagRecipe
from export.tags.tables import TagTable, table_at, write_forest
from export.tags.tag_set import TagSet
from export.tags.training import TagData
from worker.model.forest.file import ForestFile, open_forest

FOLDER, FOREST_FILE = "tag-images", "tags.forest"


class Kept(BaseModel):
    """`recipe.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: TagRecipe
    minimum_count: int
    number: int = 1


@dataclass(frozen=True)
class Store:
    """A run of `mekiki train tags`."""

    run: Path
    kept: Kept
    names: list[str]
    groups: list[str]
    vectors: NDArray[np.float32]

    @property
    def part_folder(self) -> Path:
        """Where the Part of the tags lies."""
        return self.run / PARTS_FOLDER / "tags"

    @property
    def forest_path(self) -> Path:
        """The forest that `model.tags` may name."""
        return self.part_folder / FOREST_FILE

    def forest(self) -> ForestFile:
        """The forest as it is now."""
        return open_forest(self.forest_path)

    def data(self) -> TagData:
        """The images as they were when the set was trained, in the same codes."""
        return TagData.of(self.vectors, self.groups, self.forest().codebook, self.kept.recipe)

    def tables(self) -> dict[str, TagTable]:
        """Every tag by name, its bytes unchanged."""
        forest = self.forest()
        return {name: table_at(forest, place) for place, name in enumerate(forest.names)}

    def replace(self, tables: list[TagTable]) -> str:
        """Write the set anew, and its Part; gives its tags_version."""
        forest = self.forest()
        kept = self.kept.model_copy(update={"number": self.kept.number + 1})
        version = write_forest(
            self.forest_path, forest.codebook, forest.header.space, str(kept.number), tables
        )
        _write_json(self.run / FOLDER / "recipe.json", kept.model_dump(mode="json"))
        renew_part(read_without_digests(self.part_folder))
        return version


def write_store(run: Path, found: TagSet, names: list[str], groups: list[str], minimum_count: int) -> Store:
    """Keep what `found` was trained on."""
    folder = run / FOLDER
    folder.mkdir(parents=True)
    kept = Kept(recipe=found.recipe, minimum_count=minimum_count)
    _write_json(folder / "recipe.json", kept.model_dump(mode="json"))
    _write_json(folder / "images.json", {"names": names, "groups": groups})
    np.save(folder / "vectors.npy", found.data.vectors)
    return Store(run, kept, names, groups, found.data.vectors)


def read_store(run: Path) -> Store:
    """What `mekiki train tags --out RUN` left.

    Raises:
        TagsError: it is no such run, or damaged.

    """
    folder = run / FOLDER
    try:
        kept = Kept.model_validate_json((folder / "recipe.json").read_bytes())
        images = json.loads((folder / "images.json").read_bytes())
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        store = Store(run, kept, images["names"], images["groups"], vectors)
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise TagsError(f"{run} is no run of `mekiki train tags` that keeps its images: {error}") from None
    if not len(store.names) == len(store.groups) == len(store.vectors):
        raise TagsError(f"{run} is damaged: it has {len(store.names)} names for {len(store.vectors)} vectors")
    return store


def read_without_digests(folder: Path) -> PartFolder:
    """The Part in `folder` whose forest was just written."""
    return PartFolder(folder, Part.model_validate_json((folder / PART_FILE).read_bytes()), str(folder))


def renew_part(found: PartFolder) -> None:
    """Write the Part with the digests that its files have now."""
    files = [describe_file(found.path / file.name) for file in found.part.files]
    write_part(found.path, found.part.model_copy(update={"files": files}))


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)

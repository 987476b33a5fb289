"""Load a model bundle: check every digest, then start what it holds."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schemas.bundle import BundleManifest, bundle_id
from schemas.policy import CODE_SCORES, Policy
from worker.errors import BundleError, ConfigurationError
from worker.model.bundle_files import MANIFEST, SIGNATURE, check_files, read_file
from worker.model.forest.file import open_forest
from worker.model.infer import Model
from worker.model.session import execution
from worker.model.signature import require_signed
from worker.model.tag import ForestTagger, Tagger, load_tagger
from worker.settings import ModelSettings, Settings


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; `id` stands on every result."""

    id: str
    manifest: BundleManifest
    model: Model
    tagger: Tagger | None


def read_manifest(directory: Path, signature_key: Path | None = None) -> tuple[BundleManifest, str]:
    """The manifest of the bundle in `directory`, and the bundle's id. Every file's digest is checked.

    With `signature_key`, a file of public keys, one of them must have signed it (`signature.py`).

    Raises:
        BundleError: a file is missing, damaged, a link, or not what the manifest says, or the signature is
            missing or wrong.
        ConfigurationError: `signature_key` holds no keys.

    """
    path = directory / MANIFEST
    try:
        raw = read_file(directory, MANIFEST)
        manifest = BundleManifest.model_validate_json(raw)
    except OSError as error:
        raise BundleError(f"there is no bundle in {directory}: {error}") from error
    except ValidationError as error:
        raise BundleError(f"{path} does not fit: {error}") from error
    check_files(directory, manifest)
    if signature_key is not None:
        _check_signature(directory, signature_key, raw, manifest)
    return manifest, bundle_id(manifest, raw)


def _check_signature(directory: Path, key: Path, raw: bytes, manifest: BundleManifest) -> None:
    try:
        signature = read_file(directory, SIGNATURE)
    except OSError as error:
        raise BundleError(
            f"{directory} is not signed, and model.signature_key asks for it: {error}"
        ) from error
    digests = {file.name: file.sha256 for file in manifest.files}
    try:
        require_signed(signature, key, {MANIFEST: hashlib.sha256(raw).hexdigest(), **digests})
    except BundleError as error:
        raise BundleError(f"{directory / SIGNATURE}: {error}") from error


def load_bundle(settings: ModelSettings) -> Bundle:
    """The bundle of `settings`, checked, loaded and warm.

    Raises:
        BundleError: it is missing, damaged, not signed as asked for, or does not run.
        ConfigurationError: the key of its signature cannot be read.
        ProviderError: it does not run on the provider that was asked for.

    """
    manifest, identifier = read_manifest(settings.bundle, settings.signature_key)
    model = Model(manifest, settings.bundle, execution(settings))
    tagger = load_tagger(manifest.tags, settings.bundle, settings.threads) if manifest.tags else None
    return Bundle(identifier, manifest, model, tagger)


def load_tags(bundle: Bundle, path: Path, threads: int) -> Tagger:
    """A tag set that takes the place of the bundle's, served from a copy of `path`.

    Raises:
        BundleError: it is no forest, damaged, or of other vectors than those that the bundle gives its tags.

    """
    head, embedding = bundle.manifest.tags, bundle.manifest.embedding
    if head is None or bundle.tagger is None:
        raise BundleError(f"{bundle.id} has no tags: model.tags needs a bundle that has some")
    forest = open_forest(path, apart=True)
    if forest.header.dim != bundle.tagger.dim:
        raise BundleError(
            f"{path} is for vectors of {forest.header.dim} numbers, those of {bundle.id} have "
            f"{bundle.tagger.dim}"
        )
    if embedding is not None and embedding.output == head.output and forest.header.space != embedding.space:
        raise BundleError(
            f"{path} is for vectors of the space {forest.header.space}, those of {bundle.id} lie in "
            f"{embedding.space}: train it over this bundle"
        )
    return ForestTagger(forest, head.minimum_score, threads)


def load_policy(settings: Settings, manifest: BundleManifest) -> Policy:
    """The operator's policy, else the bundle's.

    Raises:
        ConfigurationError: the policy cannot be read, or names a score that neither the bundle nor the
            codes stage gives.

    """
    policy, file = settings.model.policy or manifest.policy, settings.model.policy_file
    if file is not None:
        try:
            policy = Policy.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise ConfigurationError(f"model.policy_file {file}: {error}") from error
    named, known = policy.score_names(), {score.name for score in manifest.scores}
    if (of_codes := named & CODE_SCORES) and not settings.codes.enabled:
        raise ConfigurationError(
            f"the policy names {min(of_codes)}, which only the codes stage gives: set codes.enabled to true, "
            f"or take {min(of_codes)} out of the policy"
        )
    if unknown := named - known - CODE_SCORES:
        raise ConfigurationError(f"the policy names {sorted(unknown)}; the bundle gives {sorted(known)}")
    return policy


def trial_policy(settings: Settings, file: Path | None, manifest: BundleManifest) -> Policy:
    """The policy in `file`, else the one that would hold if the bundle of `manifest` served alone.

    Raises:
        ConfigurationError: as of load_policy.

    """
    if file is not None:
        update = {"policy": None, "policy_file": file}
        settings = settings.model_copy(update={"model": settings.model.model_copy(update=update)})
    return load_policy(settings, manifest)

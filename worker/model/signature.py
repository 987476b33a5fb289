"""Signature: that a bundle is what the holder of a private key signed.

The format is that of OpenSSF Model Signing 1.x (`model_signing sign key`): a Sigstore bundle around a DSSE
envelope around an in-toto statement, which has the SHA-256 of each file. The keys are ECDSA's, over P-256,
P-384 or P-521. Nothing is asked of the network.

- https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md
- https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
- https://docs.sigstore.dev/about/bundle/
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Base64Bytes, BaseModel, Field, ValidationError

from schemas.bundle import Sha256
from worker.errors import BundleError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class _Signature(BaseModel):
    sig: Base64Bytes


class _Envelope(BaseModel):
    payload: Base64Bytes
    payload_type: Annotated[Literal["application/vnd.in-toto+json"], Field(alias="payloadType")]
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=16)]


class _SigstoreBundle(BaseModel):
    media_type: Annotated[Literal["application/vnd.dev.sigstore.bundle.v0.3+json"], Field(alias="mediaType")]
    envelope: Annotated[_Envelope, Field(alias="dsseEnvelope")]


class _Serialization(BaseModel):
    method: Literal["files"]
    hash_type: Literal["sha256"]


class _Resource(BaseModel):
    name: str
    algorithm: Literal["sha256"]
    digest: Sha256


class _Predicate(BaseModel):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(BaseModel):
    statement_type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    predicate_type: Annotated[Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")]
    predicate: _Predicate


def require_signed(signature: bytes, key_file: Path, digests: Mapping[str, str]) -> None:
    """Check that one of the keys in `key_file` signed each file of `digests` (SHA-256 in hex, by name).

    Files that are signed and not in `digests` do no harm.

    Raises:
        BundleError: the signature is of another form or another key, or of other files.
        ConfigurationError: there is no key to check it with.

    """
    keys = _read_keys(key_file)
    try:
        envelope = _SigstoreBundle.model_validate_json(signature).envelope
        if not any(_is_by(key, envelope) for key in keys):
            raise BundleError(f"the signature is by none of the keys of {key_file}, or damaged")
        statement = _Statement.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise BundleError(
            f"the signature is none of `model_signing sign key` over SHA-256 of whole files: {error}"
        ) from error
    signed = {resource.name: resource.digest for resource in statement.predicate.resources}
    for name, digest in digests.items():
        if signed.get(name) != digest:
            told = f"for {signed[name]}, not for {digest}" if name in signed else "for other files alone"
            raise BundleError(f"{name} is not what was signed: the signature is {told}")


def _read_keys(file: Path) -> Sequence["EllipticCurvePublicKey"]:
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only where keys are set
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "model.signature_key is set, and what checks signatures is not installed: "
            f"pip install 'mekiki[signatures]' ({error})"
        ) from error
    try:
        blocks = [found.group() for found in _PEM.finditer(file.read_bytes())]
        keys = [serialization.load_pem_public_key(block) for block in blocks]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"model.signature_key {file} holds no public keys: {error}") from error
    curves = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
    fitting = [k for k in keys if isinstance(k, ec.EllipticCurvePublicKey) and isinstance(k.curve, curves)]
    if not fitting or len(fitting) != len(keys):
        raise ConfigurationError(
            f"model.signature_key {file} must hold public keys in PEM, of ECDSA over P-256, P-384 or P-521"
        )
    return fitting


def _is_by(key: "EllipticCurvePublicKey", envelope: _Envelope) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    message = pre_authentication_encoding(envelope.payload)
    for signature in envelope.signatures:
        try:
            key.verify(signature.sig, message, ec.ECDSA(by_size[key.curve.key_size]))
        except InvalidSignature:
            continue
        return True
    return False


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What is signed of an in-toto statement: DSSE's PAE."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)

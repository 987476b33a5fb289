"""Signatures of bundles, in the form that `model_signing sign key` gives them, by keys drawn for a test."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from worker.model.bundle_files import SIGNATURE
from worker.model.signature import pre_authentication_encoding


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 by name of every file but the signature."""
    files = [path for path in sorted(folder.iterdir()) if path.name != SIGNATURE]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def statement(digests: Mapping[str, str]) -> dict[str, Any]:
    resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in digests.items()]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "bundle", "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": resources,
        },
    }


def signature(told: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    payload = json.dumps(told).encode()
    signed = key.sign(pre_authentication_encoding(payload), ec.ECDSA(hashes.SHA256()))
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "a test's"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }


def sign(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Leave a signature of all that is in `folder`."""
    made = signature(statement(digests_of(folder)), key)
    (folder / SIGNATURE).write_text(json.dumps(made), encoding="utf-8")

"""Signatures: by the one key over these very files, or an error that says what is wrong.

The bundle in tests/golden/signed_bundle was signed by model_signing 1.1.1:

    model_signing sign key --private_key KEY --signature signed_bundle/model.sig signed_bundle
"""

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.signing import digests_of, new_key, public_pem, sign, signature, statement
from worker.errors import BundleError, ConfigurationError
from worker.model.bundle import read_manifest
from worker.model.signature import require_signed

GOLDEN = Path("tests/golden/signed_bundle")
GOLDEN_KEY = Path("tests/golden/signed_bundle.pem")
KEY = new_key()
DIGESTS = {"manifest.json": "a" * 64, "graph.onnx": "b" * 64}


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem(KEY))
    return path


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(GOLDEN, tmp_path / "bundle")


def verify(made, key_file, digests=DIGESTS):
    require_signed(json.dumps(made).encode(), key_file, digests)


def test_what_model_signing_signed_is_taken():
    manifest, _ = read_manifest(GOLDEN, GOLDEN_KEY)
    assert manifest.name == "signed"


def test_any_of_several_keys_will_do(tmp_path):
    keys = tmp_path / "keys.pem"
    keys.write_bytes(b"# of last year\n" + public_pem(new_key()) + b"# of this\n" + GOLDEN_KEY.read_bytes())
    assert read_manifest(GOLDEN, keys) == read_manifest(GOLDEN)


def test_another_key_is_refused(key_file):
    with pytest.raises(BundleError, match=r"model\.sig: the signature is by none of the keys of .*key\.pem"):
        read_manifest(GOLDEN, key_file)


def test_a_bundle_without_a_signature_is_refused_where_a_key_is_set_alone(copy):
    (copy / "model.sig").unlink()
    read_manifest(copy)
    with pytest.raises(BundleError, match=r"is not signed, and model\.signature_key asks for it"):
        read_manifest(copy, GOLDEN_KEY)


@pytest.mark.parametrize("name", ["graph.onnx", "manifest.json"])
def test_other_files_than_those_that_were_signed_are_refused(copy, name):
    """Changed together with the manifest's own digests: what digests alone would let through."""
    manifest = json.loads((copy / "manifest.json").read_text())
    if name == "graph.onnx":
        (copy / name).write_bytes(b"another graph")
        manifest["files"][0] |= {"bytes": 13, "sha256": digests_of(copy)[name]}
    manifest["policy"]["thresholds"]["text"]["block"] = 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    read_manifest(copy)
    with pytest.raises(BundleError, match=r"manifest\.json is not what was signed"):
        read_manifest(copy, GOLDEN_KEY)


def test_signed_anew_it_is_taken_again(copy, key_file):
    sign(copy, KEY)
    read_manifest(copy, key_file)
    with pytest.raises(BundleError, match="by none of the keys"):
        read_manifest(copy, GOLDEN_KEY)


def test_what_was_signed_beside_the_bundle_does_no_harm(key_file):
    verify(signature(statement({**DIGESTS, "README.md": "c" * 64}), KEY), key_file)


def test_a_file_that_was_left_out_of_the_signature_is_refused(key_file):
    made = signature(statement({"manifest.json": "a" * 64}), KEY)
    with pytest.raises(BundleError, match=r"graph\.onnx is not what was signed: .* for other files alone"):
        verify(made, key_file)


def of_another_payload(made):
    made["dsseEnvelope"]["payload"] = signature(statement({}), KEY)["dsseEnvelope"]["payload"]


def of_a_flipped_bit(made):
    sig = made["dsseEnvelope"]["signatures"][0]["sig"]
    made["dsseEnvelope"]["signatures"][0]["sig"] = sig[:20] + ("A" if sig[20] != "A" else "B") + sig[21:]


def of_no_signature(made):
    made["dsseEnvelope"]["signatures"] = [{"sig": ""}]


@pytest.mark.parametrize("harm", [of_another_payload, of_a_flipped_bit, of_no_signature])
def test_a_damaged_signature_is_refused(key_file, harm):
    made = signature(statement(DIGESTS), KEY)
    harm(made)
    with pytest.raises(BundleError, match="by none of the keys"):
        verify(made, key_file)


def test_of_several_signatures_one_will_do(key_file):
    made, other = (signature(statement(DIGESTS), key) for key in (KEY, new_key()))
    mine = made["dsseEnvelope"]["signatures"]
    made["dsseEnvelope"]["signatures"] = [*other["dsseEnvelope"]["signatures"], *mine]
    verify(made, key_file)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("_type",), "https://in-toto.io/Statement/v0.1"),
        (("predicateType",), "https://model_signing/Digests/v0.1"),
        (("predicate", "serialization", "method"), "shards"),
        (("predicate", "serialization", "hash_type"), "blake3"),
        (("predicate", "resources"), [{"name": "graph.onnx", "algorithm": "blake3", "digest": "b" * 64}]),
    ],
)
def test_a_statement_of_another_form_is_refused(key_file, at, value):
    told = statement(DIGESTS)
    place = told
    for name in at[:-1]:
        place = place[name]
    place[at[-1]] = value
    with pytest.raises(BundleError, match="the signature is none of `model_signing sign key`"):
        verify(signature(told, KEY), key_file)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"mediaType": "text/plain"}', b"\x00" * 100, b"[" * 100_000])
def test_what_is_no_signature_at_all_is_refused(key_file, raw):
    with pytest.raises(BundleError, match="the signature is none of"):
        require_signed(raw, key_file, DIGESTS)


def private(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"no key",
        private(KEY),
        public(ed25519.Ed25519PrivateKey.generate()),
        public(ec.generate_private_key(ec.SECP256K1())),
        public_pem(KEY) + public(ed25519.Ed25519PrivateKey.generate()),
        public_pem(KEY)[:60],
    ],
)
def test_a_file_that_is_not_of_such_public_keys_is_the_operators_fault(tmp_path, held):
    (tmp_path / "key.pem").write_bytes(held)
    with pytest.raises(ConfigurationError, match=r"model\.signature_key .*key\.pem"):
        require_signed(b"", tmp_path / "key.pem", DIGESTS)


def test_a_key_that_is_not_there_is_the_operators_fault(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model\.signature_key .*none\.pem"):
        require_signed(b"", tmp_path / "none.pem", DIGESTS)

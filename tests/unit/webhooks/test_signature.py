"""Signatures as the reference implementation of Standard Webhooks makes them."""

import pytest

from worker.errors import ConfigurationError
from worker.webhooks.signature import read_secrets, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# Of the Python library `standardwebhooks`, for this secret, id, time and body.
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.fixture
def file(tmp_path):
    return tmp_path / "secrets"


def test_the_headers_are_those_of_the_convention(file):
    file.write_text(f"{SECRET}\n")
    headers = signed_headers(
        read_secrets(file), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_while_a_secret_is_replaced_both_sign(file):
    file.write_text(f"{SECRET}\nwhsec_{'b' * 40}\n")
    signatures = signed_headers(read_secrets(file), "i", 1, b"{}")["webhook-signature"].split()
    assert len(set(signatures)) == 2


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_short", f"whsec_{'=' * 40}", f"whsec_é{'a' * 40}", f"{SECRET}\nx"]
)
def test_what_is_no_secret_is_refused(file, text):
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="secret"):
        read_secrets(file)


def test_a_file_that_is_not_there(file):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_secrets(file)

"""Settings: file, then environment, then flags; what does not fit is refused with its name."""

from pathlib import Path

import pytest

from worker.errors import ConfigurationError
from worker.settings import Settings, load_settings

FILE = """
[kafka]
bootstrap_servers = "from-file:9092"
group = "from-file"
transactional_id = "from-file"

[kafka.properties]
"security.protocol" = "SASL_SSL"

[fetch]
allowed_networks = ["10.1.0.0/16"]
max_bytes = "5 MB"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mekiki.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_hold() -> None:
    settings = load_settings(None, {})
    assert settings.score.delivery == "exactly_once"
    assert settings.fetch.schemes == ["https"]
    assert settings.fetch.allowed_networks == []
    assert settings.topics.dead_letter == "listing.image.uploaded.v1.dlq"


def test_flags_win_over_the_environment_and_the_environment_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEKIKI_KAFKA__GROUP", "from-environment")
    monkeypatch.setenv("MEKIKI_KAFKA__TRANSACTIONAL_ID", "from-environment")
    settings = load_settings(file, {"kafka.transactional_id": "from-flag"})
    assert settings.kafka.bootstrap_servers == "from-file:9092"
    assert settings.kafka.group == "from-environment"
    assert settings.kafka.transactional_id == "from-flag"


def test_one_value_of_a_section_leaves_the_others_of_it_alone(file: Path) -> None:
    settings = load_settings(file, {"fetch.timeout": "2"})
    assert settings.fetch.timeout == 2.0
    assert settings.fetch.max_bytes == 5_000_000
    assert str(settings.fetch.allowed_networks[0]) == "10.1.0.0/16"


def test_librdkafka_properties_come_from_flags_with_their_dots(file: Path) -> None:
    settings = load_settings(file, {"kafka.properties.sasl.username": "someone"})
    assert settings.kafka.properties == {"security.protocol": "SASL_SSL", "sasl.username": "someone"}


def test_lists_are_given_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEKIKI_FETCH__SCHEMES", '["https","http"]')
    settings = load_settings(None, {"fetch.allowed_networks": '["127.0.0.7/32"]'})
    assert settings.fetch.schemes == ["https", "http"]
    assert [str(network) for network in settings.fetch.allowed_networks] == ["127.0.0.7/32"]


def test_a_policy_can_be_given_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mekiki.toml"
    path.write_text(
        "[model.policy.thresholds.text]\nblock = 0.9\n[model.policy.categories.books.text]\nblock = 0.99\n",
        encoding="utf-8",
    )
    policy = load_settings(path, {}).model.policy
    assert policy is not None
    assert policy.for_category("books")["text"].block == 0.99
    assert policy.for_category("shoes")["text"].block == 0.9


@pytest.mark.parametrize(
    ("assignments", "named"),
    [
        ({"kafka.grupo": "x"}, "kafka.grupo"),
        ({"nothing.at_all": "x"}, "nothing"),
        ({"kafka": "x"}, "section.key"),
        ({"score.delivery": "maybe_once"}, "score.delivery"),
        ({"fetch.timeout": "-1"}, "fetch.timeout"),
        ({"fetch.allowed_networks": '["10.0.0.1/8"]'}, "fetch.allowed_networks"),
        ({"fetch.allowed_networks": "[not json"}, "fetch.allowed_networks"),
        ({"fetch.object_url": "https://s3.example/{region}/{key}"}, "fetch.object_url"),
        ({"fetch.object_url": "https://s3.example/{bucket}/"}, "must hold {key}"),
        ({"decode.max_pixels": "many"}, "decode.max_pixels"),
        ({"model.provider": "abacus"}, "model.provider"),
        ({"http.port": "70000"}, "http.port"),
        ({"kafka.group": "x", "kafka.group.y": "z"}, "kafka.group is set"),
        ({"score.rejection_limit.window": "50"}, "minimum 100 is over window 50"),
    ],
)
def test_what_does_not_fit_is_named(assignments: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        load_settings(None, assignments)


def test_a_misspelt_key_in_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mekiki.toml"
    path.write_text("[kafka]\nbootstrap = 'x'\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"kafka\.bootstrap"):
        load_settings(path, {})


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mekiki.toml"
    path.write_text("kafka: {}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="settings cannot be read"):
        load_settings(path, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml", {})


def test_a_misspelt_section_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEKIKI_KAFFKA__GROUP", "x")
    with pytest.raises(ConfigurationError, match="MEKIKI_KAFFKA__GROUP"):
        load_settings(None, {})


def test_a_misspelt_key_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEKIKI_KAFKA__GRUPO", "x")
    with pytest.raises(ConfigurationError, match=r"kafka\.grupo"):
        load_settings(None, {})


def test_what_kubernetes_sets_for_a_service_of_that_name_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEKIKI_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("MEKIKI_SERVICE_HOST", "10.0.0.1")
    assert load_settings(None, {}).http.port == 9464


def test_one_underscore_in_place_of_two_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEKIKI_HTTP_PORT", "tcp://10.0.0.1:80")  # of a Service named mekiki-http
    load_settings(None, {})
    monkeypatch.setenv("MEKIKI_KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    with pytest.raises(ConfigurationError, match="write MEKIKI_KAFKA__BOOTSTRAP_SERVERS"):
        load_settings(None, {})


def test_a_policy_and_a_policy_file_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        load_settings(None, {"model.policy": "{}", "model.policy_file": str(tmp_path / "policy.json")})


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.group = "x"  # type: ignore[misc]


def test_codes_are_off_unless_asked_for_and_formats_are_known_ones() -> None:
    assert not load_settings(None, {}).codes.enabled
    codes = load_settings(None, {"codes.enabled": "true", "codes.formats": '["QRCode", "EAN13"]'}).codes
    assert (codes.enabled, codes.formats) == (True, ["QRCode", "EAN13"])
    for value in ('["QR"]', "[]"):
        with pytest.raises(ConfigurationError, match=r"codes\.formats"):
            load_settings(None, {"codes.formats": value})


@pytest.mark.parametrize(
    ("given", "text"), [(45000, "45000"), (45000.0, "45000"), (0.5, "0.5"), (True, "true"), ("7", "7")]
)
def test_numbers_of_librdkafka_need_no_quotes(tmp_path, given, text):
    file = tmp_path / "mekiki.toml"
    value = {True: "true"}.get(given, given) if isinstance(given, bool) else repr(given)
    file.write_text(f"[kafka.consumer]\n'session.timeout.ms' = {value}\n".replace("'7'", '"7"'))
    assert load_settings(file, {}).kafka.consumer == {"session.timeout.ms": text}

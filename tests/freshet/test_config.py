"""Tests of the settings: precedence, types, and what is said about a mistake."""

from pathlib import Path

import pytest

from freshet.config import ConfigError, SettingEntry, load_config, parse_duration


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "freshet.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _entry(name: str, path: Path | None, environment: dict[str, str]) -> SettingEntry:
    table, _, key = name.partition(".")
    return next(
        each
        for each in load_config(path, environment).entries
        if (each.table, each.key) == (table, key)
    )


def test_a_key_that_is_nowhere_has_its_default() -> None:
    """Without a file and variables every package gets its own defaults."""
    config = load_config(None, {})

    assert {each.source for each in config.entries} == {"default"}
    assert config.stream().half_life_seconds == 30 * 86400.0
    assert config.server().default_k == 10
    assert config.model().dim == 128


def test_the_strongest_source_wins(tmp_path: Path) -> None:
    """A flag beats the environment, the environment beats the file, the file beats the
    default.
    """
    path = _write(tmp_path, "[server]\ndefault_k = 20\nmax_k = 500\nnum_threads = 3\n")
    environment = {"FRESHET_SERVER_DEFAULT_K": "30", "FRESHET_SERVER_MAX_K": "600"}

    settings = load_config(path, environment).server(default_k=40)

    assert (settings.default_k, settings.max_k, settings.num_threads) == (40, 600, 3)


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    """None is what click hands over for an option that is absent."""
    assert load_config(None, {"FRESHET_MODEL_SEED": "5"}).model(seed=None).seed == 5


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """FRESHET_CONFIG stands in for --config."""
    path = _write(tmp_path, "[model]\ndim = 32\n")

    assert load_config(None, {"FRESHET_CONFIG": str(path)}).model().dim == 32


def test_each_entry_says_where_it_comes_from(tmp_path: Path) -> None:
    """`freshet config` can show source and variable of every key."""
    path = _write(tmp_path, "[model]\ndim = 32\n")
    environment = {"FRESHET_MODEL_SEED": "9"}

    assert _entry("model.dim", path, environment).source == "file"
    assert _entry("model.seed", path, environment) == SettingEntry(
        table="model", key="seed", value=9, source="environment", variable="FRESHET_MODEL_SEED"
    )


def test_durations_may_be_written_as_people_write_them(tmp_path: Path) -> None:
    """A key that ends in a unit takes text with a unit, in the file and in the
    environment.
    """
    path = _write(
        tmp_path, '[model]\ntune_every_seconds = "10m"\n[stream]\nsync_every_ms = "1.5s"\n'
    )

    config = load_config(path, {"FRESHET_STREAM_HALF_LIFE_SECONDS": "14d"})

    assert config.model().tune_every_seconds == 600.0
    assert config.stream().sync_every_ms == 1500
    assert config.stream().half_life_seconds == 14 * 86400.0


def test_a_number_in_quotes_is_in_the_unit_of_its_key(tmp_path: Path) -> None:
    """The file and the environment mean the same by a text without a unit."""
    path = _write(tmp_path, '[stream]\nsync_every_ms = "250"\n')

    assert load_config(path, {}).stream().sync_every_ms == 250
    assert load_config(None, {"FRESHET_STREAM_SYNC_EVERY_MS": "250"}).stream().sync_every_ms == 250


def test_a_zero_in_the_environment_is_a_value() -> None:
    """0 is a number like another, also for a duration."""
    assert load_config(None, {"FRESHET_STREAM_SYNC_EVERY_MS": "0"}).stream().sync_every_ms == 0


def test_action_weights_are_overridden_one_by_one(tmp_path: Path) -> None:
    """A table keeps the defaults of the keys that are not given."""
    path = _write(tmp_path, "[stream.action_weights]\npurchase = 8\n")

    config = load_config(path, {"FRESHET_STREAM_ACTION_WEIGHTS": "add-to-cart=3"})

    assert config.stream().action_weights == {"click": 1.0, "add-to-cart": 3.0, "purchase": 8.0}


def test_a_mapping_is_a_table_in_the_file_and_json_in_the_environment(tmp_path: Path) -> None:
    """Of a table that both have, the environment's counts."""
    text = "[stream.mapping.event]\ntime = 'at'\n[stream.mapping.item]\nitem_id = 'sku'\n"
    config = load_config(
        _write(tmp_path, text), {"FRESHET_STREAM_MAPPING": '{"event": {"query": "q"}}'}
    )

    assert config.stream().mapping == {"event": {"query": "q"}, "item": {"item_id": "sku"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "is not JSON"), ("[]", "must be a JSON object"), ('{"events": {}}', "'events'")],
)
def test_a_mistake_in_a_mapping_of_the_environment_is_named(text: str, expected: str) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError, match=expected):
        load_config(None, {"FRESHET_STREAM_MAPPING": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[model]\ndimm = 3\n", ["freshet.toml", "[model]", "dimm", "did you mean dim?"]),
        ("[modle]\ndim = 3\n", ["[modle]", "did you mean model?", "stream"]),
        ("model = 3\n", ["model must be a table"]),
        ("[model]\ndim = 'x'\n", ["[model] dim", "a whole number", "'x'"]),
        ("[model]\ndim = true\n", ["[model] dim", "a whole number"]),
        ("[model]\ndim = 3.5\n", ["[model] dim", "a whole number"]),
        ("[model]\nuse_ids = 1\n", ["[model] use_ids", "true or false"]),
        (
            "[model]\ntune_every_seconds = 'soon'\n",
            ["tune_every_seconds", "'soon' is not a duration"],
        ),
        ("[stream.action_weights]\nclick = 'x'\n", ["action_weights.click", "a number"]),
        ("[stream.action_weights]\nhover = 1\n", ["hover", "add-to-cart"]),
        ("[server]\ndefault_k = 0\n", ["default_k", "at least 1"]),
        ("[server]\nwatch_every_seconds = inf\n", ["watch_every_seconds", "a finite number"]),
        ("dim = \n", ["not TOML"]),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, expected: list[str]) -> None:
    """The message says which file, table and key, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, text), {})

    for part in expected:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("FRESHET_SERVER_DEFAULTK", "3", "did you mean FRESHET_SERVER_DEFAULT_K?"),
        ("FRESHET_SERVERS_LISTEN", "x", "did you mean FRESHET_SERVER_LISTEN?"),
        ("FRESHET_LOGLEVEL", "DEBUG", "did you mean FRESHET_LOG_LEVEL?"),
        ("FRESHET_SERVER_DEFAULT_K", "many", "a whole number, not 'many'"),
        ("FRESHET_MODEL_USE_IDS", "maybe", "true or false"),
        ("FRESHET_STREAM_ACTION_WEIGHTS", "click", "a number"),
        ("FRESHET_STREAM_ACTION_WEIGHTS", "click=nan", "a number"),
        ("FRESHET_SERVER_WATCH_EVERY_SECONDS", "inf", "is not a duration"),
    ],
)
def test_a_mistake_in_the_environment_is_named(variable: str, value: str, expected: str) -> None:
    """A misspelt or mistyped variable is an error, not a setting that is silently not
    applied.
    """
    with pytest.raises(ConfigError) as caught:
        load_config(None, {variable: value})

    assert variable in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "variable",
    [
        "FRESHET_SERVER_PORT",
        "FRESHET_SERVER_SERVICE_HOST",
        "FRESHET_SERVER_PORT_50051_TCP_ADDR",
        "FRESHET_SINK_DATABASE",
        "FRESHET_CLIENT_METRICS_TLS",
        "FRESHET_CLIENT_TLS_CA",
        "FRESHET_IMAGE_VERSION",
    ],
)
def test_variables_of_others_are_no_mistake(variable: str) -> None:
    """A service called freshet-server puts such links into every pod, and commands have
    variables that are no settings.
    """
    assert load_config(None, {variable: "tcp://10.0.0.7:50051"}).server().default_k == 10


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong --config is one clear error."""
    with pytest.raises(ConfigError, match=r"nowhere.toml: there is no such file"):
        load_config(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("2D", 172800.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Numbers are seconds; units add up."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "10x", "-5s", "5m 3", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_file_of_an_editor_on_windows_is_read(tmp_path: Path) -> None:
    """With a byte order mark; in UTF-16 it is told how to save it."""
    file = tmp_path / "freshet.toml"
    file.write_bytes(b"\xef\xbb\xbf[stream]\r\nnum_shards = 3\r\n")
    assert load_config(file, {}).stream().num_shards == 3

    file.write_bytes("[stream]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"freshet\.toml is not UTF-8.*save it as UTF-8"):
        load_config(file, {})

    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path, {})

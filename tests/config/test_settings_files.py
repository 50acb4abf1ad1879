"""Settings files: what is written is read again as it was."""

from __future__ import annotations

import tomllib

import pytest

from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import DataConfig, RunConfig
from fedprivacy.config.toml import to_toml


@pytest.mark.parametrize(
    "config", [RunConfig(), RunConfig(data=DataConfig(candidates=None)), RunConfig(data=DataConfig(label="none"))]
)
def test_a_file_gives_the_settings_that_it_was_written_from(config: RunConfig) -> None:
    assert build(RunConfig, tomllib.loads(to_toml(config)), "file") == config


def test_none_is_a_word_only_where_nothing_is_allowed() -> None:
    assert build(DataConfig, {"candidates": "none", "label": "none"}, "file").label == "none"
    with pytest.raises(UsageError, match="clients"):
        build(RunConfig, {"clients": "none"}, "file")

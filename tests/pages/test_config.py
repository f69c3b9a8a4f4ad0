"""The shipped configuration is what keeps the dashboard safe and quick: each option must exist and hold its value."""

import tomllib
from pathlib import Path

import pytest
from streamlit import config

from iapo_core.outputs.palette import TOKENS

FILE = Path(__file__).parents[2] / ".streamlit" / "config.toml"
SHIPPED = {
    "server.address": "127.0.0.1",
    "server.allowedHosts": ["localhost", "127.0.0.1"],
    "server.headless": True,
    "server.maxUploadSize": 10,
    "server.maxMessageSize": 50,
    "server.fileWatcherType": "none",
    "server.enableXsrfProtection": True,
    "runner.postScriptGC": False,
    "runner.magicEnabled": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "browser.gatherUsageStats": False,
}


@pytest.fixture(scope="module")
def written() -> dict[str, object]:
    sections = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {f"{section}.{key}": value for section, options in sections.items() for key, value in options.items()}


@pytest.mark.parametrize(("option", "value"), SHIPPED.items())
def test_shipped_option_holds_its_value(written, option, value):
    assert written[option] == value


@pytest.mark.parametrize("option", SHIPPED)
def test_option_is_one_that_this_streamlit_knows(option):
    assert option in config.get_config_options(), f"{option} is gone from Streamlit; find what replaced it"


def test_agent_interface_is_off(written):
    assert "server.enableAgentApi" not in written
    assert config.get_config_options()["server.enableAgentApi"].default_val is False


def test_both_themes_have_the_hues_of_the_figures_and_no_font_from_elsewhere():
    theme = tomllib.loads(FILE.read_text(encoding="utf-8"))["theme"]
    for mode in ("light", "dark"):
        assert tuple(theme[mode]["chartCategoricalColors"]) == TOKENS[mode].prompts
    assert "http" not in FILE.read_text(encoding="utf-8")

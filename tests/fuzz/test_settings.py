"""Whatever a stack's config says: settings, or problems that say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import yamlfile
from settings import CREDENTIALS, SECTIONS, Settings, SettingsError, parse
from tests.fuzz import odd, watch
from tests.unit.test_settings import BASE, FULL, GOOD, ROOT, read_file
from tests.unit.test_settings import changed as patched


def stack(path: Path) -> dict[str, Any]:
    config = yamlfile.parse(path.read_text(), path.name)["config"]
    return {key.removeprefix("sixstead:"): value for key, value in config.items()}


CONFIGS = [FULL, *(stack(path) for path in sorted((ROOT / "stacks").glob("Pulumi.*.yaml")))]
CONFIGS += [patched(BASE, case["patch"]) for case in GOOD]
KEYS = sorted({str(path[-1]) for config in CONFIGS for path in odd.places(config) if path} | {*SECTIONS, *CREDENTIALS})
names = st.one_of(st.sampled_from(KEYS), odd.text, st.sampled_from([1, None, True, 1.5]))
configs = st.integers(0, len(CONFIGS) - 1).flatmap(lambda number: odd.changed(CONFIGS[number], names=names))


def read(config: Any) -> Settings | SettingsError:
    with watch.looking():
        try:
            return parse(config, "kvm1", read_file)
        except SettingsError as error:
            return error


def is_shown_as_it_is(error: SettingsError) -> bool:
    """Each problem is one line that a terminal can print, and nothing in it moves the cursor."""
    lines = str(error).split("\n")
    return len(lines) == len(error.problems) + 1 and all(line.isprintable() and len(line) < 2000 for line in lines)


@given(configs)
def test_a_changed_config_gives_settings_or_problems(config: Any) -> None:
    if not isinstance(config, dict):
        return
    result = read(config)
    if isinstance(result, SettingsError):
        assert result.problems
        assert is_shown_as_it_is(result)
        assert [str(problem) for problem in result.problems] == [str(p) for p in _problems(read(config))]
    else:
        assert read(config) == result


def _problems(result: Settings | SettingsError) -> Any:
    assert isinstance(result, SettingsError)
    return result.problems


@given(st.dictionaries(st.one_of(st.sampled_from(SECTIONS), odd.text), odd.yaml_values, max_size=9))
def test_a_config_of_anything_gives_problems(config: Any) -> None:
    error = read(config)
    assert isinstance(error, SettingsError)
    assert is_shown_as_it_is(error)


@given(odd.text, odd.text)
def test_a_list_of_checksums_may_hold_anything(content: str, path: str) -> None:
    config = {**BASE, "images": {"d13": {"url": "https://images.example/d13.qcow2", "sha512sums": path}}}
    for more in ({"read_file": lambda name: content}, {}):
        with pytest.raises(SettingsError) as error, watch.looking():
            parse(config, "kvm1", **more)
        assert is_shown_as_it_is(error.value)


def test_the_changes_leave_some_configs_valid() -> None:
    # else the tests above would only ever see refusals
    accepted = []

    @hypothesis.settings(max_examples=300)
    @given(configs)
    def count(config: Any) -> None:
        if isinstance(config, dict):
            accepted.append(isinstance(read(config), Settings))

    count()
    # about one in fifteen; which ones depends on the modules loaded, as Hypothesis draws from their constants
    assert any(accepted)


def test_what_acts_is_noticed() -> None:
    import subprocess

    with pytest.raises(watch.Acted), watch.looking():
        subprocess.run(["true"])
    with pytest.raises(watch.Acted), watch.looking():
        open("/dev/null", "w").close()

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.errors import DeviceError, UsageError
from edgert.profiler.energy import SENSORS, choose_sensor, get_sensor, sensor_reasons
from edgert.profiler.energy.rapl import RaplSensor, counter_difference


def zone(root: Path, index: str, name: str, energy_uj: int, range_uj: int = 262143328850) -> Path:
    folder = root / f"intel-rapl:{index}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "0", "package-0", 1000), zone(tmp_path, "1", "package-1", 5000)
    parts = [zone(tmp_path, "0:0", "core", 1000), zone(tmp_path, "2", "psys", 1000)]
    sensor = RaplSensor(tmp_path)
    assert sensor.unavailable() is None
    assert sensor.rails == ("package-0", "package-1")
    sensor.start()
    (first / "energy_uj").write_text("3000")
    (second / "energy_uj").write_text("6500")
    for part in parts:
        (part / "energy_uj").write_text("99999")
    assert sensor.read().values.tolist() == [[2.0, 1.5]]


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "0", "package-0", 990, range_uj=999)
    sensor = RaplSensor(tmp_path)
    sensor.start()
    totals = []
    for value in ("20", "900", "10"):
        (package / "energy_uj").write_text(value)
        totals.append(sensor.read().values.item())
    assert totals == pytest.approx([0.03, 0.91, 1.02])


def test_a_counter_that_goes_away(tmp_path: Path) -> None:
    package = zone(tmp_path, "0", "package-0", 1)
    sensor = RaplSensor(tmp_path)
    sensor.start()
    (package / "energy_uj").unlink()
    with pytest.raises(DeviceError, match="energy_uj cannot be read"):
        sensor.read()
    with pytest.raises(DeviceError, match="energy_uj cannot be read"):
        sensor.start()


@given(st.integers(1, 10**12), st.data())
def test_the_difference_is_what_was_added(range_uj: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, range_uj))
    added = data.draw(st.integers(0, range_uj))
    assert counter_difference(start, (start + added) % (range_uj + 1), range_uj) == added


def test_without_counters_the_reason_is_said(tmp_path: Path) -> None:
    assert "no RAPL counters" in str(RaplSensor(tmp_path).unavailable())
    package = zone(tmp_path, "0", "package-0", 1)
    (package / "energy_uj").write_text("")
    assert "cannot be read" in str(RaplSensor(tmp_path).unavailable())


def test_no_sensor_is_none_with_its_reason() -> None:
    assert choose_sensor("none") == (None, "switched off (--energy none)")
    with pytest.raises(UsageError, match="no energy sensor 'rappl'; did you mean 'rapl'"):
        choose_sensor("rappl")
    sensor, reason = choose_sensor("auto")
    assert (sensor is None) == bool(reason)


@pytest.mark.parametrize("name", SENSORS)
def test_every_sensor_says_what_it_is(name: str) -> None:
    sensor = get_sensor(name)
    assert sensor.name == name
    assert sensor.accuracy
    assert sensor.leaves_out
    assert sensor.rate_hz > 0
    assert set(sensor_reasons()) == set(SENSORS)

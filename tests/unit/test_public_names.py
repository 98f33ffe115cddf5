"""The public names: looked up late, all of them there, each with a docstring."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final, get_type_hints

import pytest

import pystack
from pystack import experiments
from pystack.plugins import CongestionControl

MODULES: Final = (
    *("pystack", "pystack.events", "pystack.experiments", "pystack.experiments.plot"),
    *("pystack.experiments.statistics", "pystack.gym", "pystack.plugins", "pystack.testing"),
)
NAMES: Final = [
    (module, name)
    for module in MODULES
    for name in import_module(module).__all__
    if not name.startswith("__")
]
# What a user may name in his own program, and would look for.
WANTED: Final = {
    "pystack": "Network Host Router Switch Station Link Ladder NetemWords Partition "
    "TcpConfig TcpLimits TcpInfo TcpState TcpStream TcpListener TcpSample Watch UdpSocket "
    "Frame Observer Event Service ServiceWords ConfigError DeviceError PystackError run serve "
    "tap_host TapHostConfig Namespace TapNode EventLoop run_asyncio check_determinism "
    "NondeterminismError",
    "pystack.events": "Event Observer Frame FrameSeen Dropped NeighborChanged TcpStateChanged "
    "TcpRetransmitted TcpSoftError TcpRepair TcpMeasured FellBehind",
    "pystack.experiments": "Experiment Results Row Run Limits Compare SeriesSpec Meter run load "
    "load_series from_file lab span log_span zipped sample dumbbell request_response plot "
    "statistics",
    "pystack.experiments.plot": "Picture box cdf curve fairness heatmap pareto sequence series",
    "pystack.experiments.statistics": "Estimate Paired jain median paired quantile",
    "pystack.gym": "CongestionEnv Interval Scene SceneMaker Reward REWARDS",
    "pystack.plugins": "Port Impairment Qdisc CongestionControl LossRecovery Service Observer "
    "AckSample LossSample ControlDefaults Scene PortContext ServiceOptions Departures Report",
    "pystack.testing": "faults Faults Fault LinkDown Parted PowerCut Lossy Delayed Slowed "
    "Condition ConditionError",
}


def test_every_public_name_can_be_had_and_is_listed() -> None:
    assert {*pystack._HOMES, "__version__"} == set(pystack.__all__)
    for name in pystack.__all__:
        assert getattr(pystack, name) is not None
        assert name in dir(pystack)


@pytest.mark.parametrize("module", MODULES)
def test_what_a_user_looks_for_is_there_in_order(module: str) -> None:
    names = import_module(module).__all__
    assert set(WANTED[module].split()) <= set(names)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_has_a_docstring_of_its_own(module: str, name: str) -> None:
    thing = getattr(import_module(module), name)
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return  # a type that has a name: the comment beside it is what the reference shows
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{name}("), "that is what dataclass makes"
    for attribute, member in vars(thing).items():
        if inspect.isfunction(member) and not attribute.startswith("_"):
            assert member.__doc__, f"{name}.{attribute}"


def test_what_results_and_labs_give_can_be_named() -> None:
    named = {
        get_type_hints(function)["return"]
        for function in (experiments.Results.rows.fget, experiments.lab)
        if function is not None
    }
    assert named == {tuple[experiments.Row, ...], experiments.Source}
    assert get_type_hints(experiments.Track).keys() >= {"times_s", "values"}


def test_examples_in_docstrings_are_what_they_say() -> None:
    """Calls without a file, as they stand there: all can be made."""
    made = {}
    for name in ("span", "log_span", "zipped", "sample"):
        [call] = re.findall(rf"`({name}\(.+?\))`", getattr(experiments, name).__doc__)
        made[name] = eval(call, dict(vars(experiments)))
    assert made["span"].values() == ("10ms", "32.5ms", "55ms", "77.5ms", "100ms")
    assert made["log_span"].values() == ("1mbit", "10mbit", "100mbit", "1gbit")
    assert made["zipped"].rows == [("1mbit", 5), ("9mbit", 50)]
    assert made["sample"].count == 100


def test_the_modules_of_public_names_are_attributes_too() -> None:
    code = (
        "import pystack; from pystack import experiments; "
        "print(pystack.events.Dropped.__name__, pystack.plugins.Port.__name__, "
        "experiments.plot.cdf.__name__, experiments.statistics.median.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["Dropped", "Port", "cdf", "median"]
    assert {"events", "plugins"} <= set(dir(pystack))


def test_the_package_alone_imports_nothing_of_itself() -> None:
    code = "import sys, pystack; print([m for m in sys.modules if m.startswith('pystack.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_what_a_congestion_control_is_told_can_be_named() -> None:
    hints = [
        hint
        for method in vars(CongestionControl).values()
        if inspect.isfunction(method)
        for hint in get_type_hints(method).values()
    ]
    told = {
        hint.__name__ for hint in hints if getattr(hint, "__module__", "").startswith("pystack")
    }
    assert {"AckSample", "Opening"} <= told <= set(pystack.plugins.__all__)


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'pystack' has no attribute 'Netwerk'"):
        pystack.Netwerk  # noqa: B018


def test_the_map_of_the_package_names_each_folder() -> None:
    assert pystack.__doc__ is not None
    folders = {path.parent.name for path in Path(pystack.__file__).parent.glob("*/__init__.py")}
    named = {line.split()[0] for line in pystack.__doc__.splitlines() if line.startswith("    ")}
    assert named == folders


def test_the_things_of_a_network_are_of_the_public_kinds() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host, router, switch = net.host("a"), net.router("r"), net.switch("s")
            link = net.link(host, switch)
            net.link(router, switch)
            assert type(host) is pystack.Host
            assert type(router) is pystack.Router
            assert type(switch) is pystack.Switch
            assert isinstance(link, pystack.Link)
            assert isinstance(net.station("t"), pystack.Station)
            assert isinstance(net.partition("a", "r"), pystack.Partition)

    pystack.run(main)
    assert isinstance(pystack.plugins, ModuleType)

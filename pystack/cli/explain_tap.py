"""`pystack explain --tap -- COMMAND`: a real command, beside a server of ours or in a lab."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pystack.apps.explain.command import Done, record_command, record_in
from pystack.cli.vantage import LabWorld, to_stderr
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.link.config import PipeConfig
from pystack.link.words import as_words
from pystack.runtime.lab.attach import Namespace
from pystack.runtime.lab.lab import LabOptions
from pystack.runtime.network import Network
from pystack.topology.file import load
from pystack.topology.spec import LabSpec


def run_command(command: list[str], given: Mapping[str, Any], words: Mapping[str, Any]) -> Done:
    """Run it to its end; its output is its own. Raises ConfigError, DeviceError."""
    if "lab" in given:
        done = _in_lab(command, given, words)
    else:
        if "from_" in given:
            raise ConfigError("--from goes with --lab")
        PipeConfig.parse(**as_words(words))  # what is wrong with the words is found now
        more = {word: given[word] for word in ("seed", "pcap") if word in given}
        done = record_command(command, words, given.get("serve", ()), **more)
    if done.was_interrupted:
        print(f"pystack: {command[0]} was interrupted", file=sys.stderr)
    return done


def _in_lab(command: list[str], given: Mapping[str, Any], words: Mapping[str, Any]) -> Done:
    for word in (*words, *(("serve",) if "serve" in given else ())):
        raise ConfigError(f"--{word.replace('_', '-')} is not for a lab, whose file says that")
    spec = load(given["lab"])
    name = _namespace_of(spec, given.get("from_"))
    options = LabOptions(seed=given.get("seed"), pcap=given.get("pcap"))

    async def visit(net: Network) -> Done:
        namespace = net.attached[name]
        assert isinstance(namespace, Namespace)
        return await record_in(net, namespace, command)

    return LabWorld(spec, options, name).visit(visit, to_stderr)


def _namespace_of(spec: LabSpec, wanted: str | None) -> str:
    names = [node.name for node in spec.nodes.values() if node.kind == "namespace"]
    if not names:
        raise ConfigError(f"{spec.path} has no namespace that a command could run in")
    if wanted is None:
        return "client" if "client" in names else names[0]
    if wanted not in names:
        hint = suggest(wanted, names)
        raise ConfigError(f"--from {wanted}: {spec.path} has no such namespace{hint}")
    return wanted

"""Stands in for the machine's resolver, in the processes of a daemon under test."""

import os
from pathlib import Path

# Python runs a module of this name at its start, wherever it is on its path.
_PROGRAM = """
import json, os, socket, time

real, path = socket.getaddrinfo, os.environ["PYTHON_NAMES"]

def getaddrinfo(host, *arguments, **named):
    if not str(host).endswith(".test"):
        return real(host, *arguments, **named)
    with open(path) as file:
        names = json.load(file)
    time.sleep(names.get("slow_s", 0))
    if host not in names:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return real(names[host], *arguments, **named)

socket.getaddrinfo = getaddrinfo
"""


class Resolver:
    """Names under `.test`, from the file `names`: a JSON object of addresses by name.

    `slow_s` in it is for how many seconds every lookup blocks. Give `environ` to the daemon.
    """

    def __init__(self, directory: str) -> None:
        Path(directory, "sitecustomize.py").write_text(_PROGRAM)
        self.names = Path(directory, "names.json")
        self.names.write_text("{}")
        path = filter(None, (directory, os.environ.get("PYTHONPATH")))
        self.environ = {"PYTHONPATH": os.pathsep.join(path), "PYTHON_NAMES": str(self.names)}

"""Makes the clients of services, which are with the networks, importable here too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "network"))

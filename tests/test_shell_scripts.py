"""The shell scripts, as far as they can be tried without making an environment."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
SOMEBODY = 54321  # nobody's by name
SAY = """
source "$0/scripts/lib.sh"
"${as_owner[@]}" sh -c 'id -u; echo "$HOME"; stat -c "%u %a" "$HOME"'
forget_home
[ ! -e "$made_home" ]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works in somebody else's checkout")
def test_pip_takes_its_settings_from_no_folder_that_others_write_to() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's are for its own user alone
        os.chmod(folder, 0o755)
        (Path(folder) / "scripts").mkdir()
        shutil.copy(SCRIPTS / "lib.sh", Path(folder) / "scripts")
        try:
            os.chown(folder, SOMEBODY, SOMEBODY)
        except OSError as error:
            pytest.skip(f"no second user here: {error.strerror}")
        argv = ["bash", "-euc", SAY, folder]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    uid, home, mode = said.splitlines()
    assert uid == str(SOMEBODY)
    assert Path(home) != Path(tempfile.gettempdir())
    assert mode == f"{SOMEBODY} 700"

# shellcheck shell=bash disable=SC2034
# What the scripts share: where things are, and as whom to write there. To be sourced.

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
venv=$(realpath -ms "${PYSTACK_VENV:-$root/.venv}")

die() {
  printf 'pystack: %s\n' "$*" >&2
  exit 1
}

# Root in somebody else's checkout (sudo scripts/pystack ...) makes nothing there as root: whatever
# writes is put behind "${as_owner[@]}", so that the owner can use, change and delete it afterwards.
# Making it as root and giving it away at the end would leave root's files when it is interrupted.
as_owner=()
owner=$(stat -c %u "$root")
if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
  home=$(getent passwd "$owner" | cut -d: -f6) || true
  as_owner=(
    setpriv "--reuid=$owner" "--regid=$(stat -c %g "$root")" --clear-groups
    env -u PYTHONDONTWRITEBYTECODE -u LOGNAME -u USER "HOME=${home:-/tmp}"
  )
  # Where the owner cannot get at the checkout (it is below a folder of root's), root does it all.
  "${as_owner[@]}" test -w "$root" 2>/dev/null || as_owner=()
  # What root itself runs then must not leave root's __pycache__ beside the owner's sources.
  export PYTHONDONTWRITEBYTECODE=1
fi

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
as_owner=() made_home=''
owner=$(stat -c %u "$root")
if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
  home=$(getent passwd "$owner" | cut -d: -f6) || true
  if [ -z "$home" ]; then
    # Nobody by name. pip takes its settings, and so its index, from the home: it has to be a place
    # where nobody else can have put any, and what is installed from there may run as root.
    made_home=$(mktemp -d)
    chown "$owner" "$made_home"
    home=$made_home
  fi
  as_owner=(
    setpriv "--reuid=$owner" "--regid=$(stat -c %g "$root")" --clear-groups
    env -u PYTHONDONTWRITEBYTECODE -u LOGNAME -u USER "HOME=$home"
  )
  # Where the owner cannot get at the checkout (it is below a folder of root's), root does it all.
  "${as_owner[@]}" test -w "$root" 2>/dev/null || as_owner=()
  # What root itself runs then must not leave root's __pycache__ beside the owner's sources.
  export PYTHONDONTWRITEBYTECODE=1
fi

# To be called at the end, or before an exec.
forget_home() {
  [ -z "$made_home" ] || rm -rf "$made_home"
}

# find_sandbox PROGRAM...: sets sandbox to the command that gives what comes after it a network of its
# own, or why_not to the reason why there can be none (or a program is missing): found out by making
# a TAP, for the rules differ everywhere.
sandbox=() why_not=''
find_sandbox() {
  local program said missing=()
  # A plain user's PATH has no /usr/sbin in Debian, where some of what tests run is (nginx).
  PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
  for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if [ ${#missing[@]} != 0 ]; then
    why_not="no ${missing[*]} here (sudo scripts/provision gets what is missing)"
    return
  fi
  if [ ! -c /dev/net/tun ]; then
    why_not="no /dev/net/tun here (as root: modprobe tun)"
    return
  fi
  sandbox=(unshare --net)
  if [ "$(id -u)" != 0 ]; then
    # Root by number, and still oneself by name: pytest names its folder in /tmp after that.
    sandbox=(env "LOGNAME=$(id -un 2>/dev/null || id -u)" "${sandbox[@]}" --user --map-root-user)
  fi
  # No mount namespace: nothing needs one, and in a chroot there is none to be had.
  # shellcheck disable=SC2016
  sandbox+=(sh -c 'ip link set lo up && exec "$@"' sh)
  if ! said=$("${sandbox[@]}" ip tuntap add probe0 mode tap 2>&1); then
    why_not="no TAP can be made (${said//$'\n'/; })"
    [ "$(id -u)" = 0 ] || why_not+=", but sudo $0 may"
  fi
}

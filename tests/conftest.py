"""Makes the helpers in this directory importable from every test, and sets up hypothesis."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]  # for tests/plugin; pytest wants it here, where all tests begin

# A busy machine is no failure. The same examples every time: what fails is to fail again.
settings.register_profile(
    "pystack", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pystack")

# Shells start what stands before `&` in a script with Ctrl-C ignored, and nohup does; whatever is
# started here would ignore it too, and tests of Ctrl-C would fail.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

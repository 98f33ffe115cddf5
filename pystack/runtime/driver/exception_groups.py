"""Exception groups: Trio's nurseries wrap every error in one, however few there are."""


def unwrapped(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error in a group if there is one only, else the innermost group of them all.

    One that two tasks met with, and that says the same to both, is one.
    """
    first, *others = _leaves(group)
    if all(type(other) is type(first) and other.args == first.args for other in others):
        return first
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found

"""Exception groups: Trio's nurseries wrap every error in one, however few there are."""


def unwrapped(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error in a group if there is one only, else the innermost group of them all."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found

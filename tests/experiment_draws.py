"""What an experiment of the tests draws; numpy is here, which each process would import."""

import random

import numpy


def draw(x: int, seed: int) -> dict[str, float]:
    drawn = random.random() + numpy.random.random()
    return {"square": x * x, "drawn": drawn, "hash": hash("text") % 1000, "by": seed}


def draw_late(x: int) -> dict[str, float]:
    import numpy.random as chance  # with the first point of each process

    return {"drawn": float(chance.random()), "square": x * x}

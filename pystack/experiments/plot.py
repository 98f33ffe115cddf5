"""Standard pictures of what experiments came to: `plot.cdf("access.results", "rtt_p95").save(...)`.

Each takes `Results` or the path of their folder. What is not said is chosen from the experiment:
what varies, what was measured, what is compared.
"""

from pystack.experiments.plots.curves import curve
from pystack.experiments.plots.distributions import box, cdf
from pystack.experiments.plots.look import Picture
from pystack.experiments.plots.planes import heatmap, pareto
from pystack.experiments.plots.times import fairness, sequence, series

__all__ = ["Picture", "box", "cdf", "curve", "fairness", "heatmap", "pareto", "sequence", "series"]

#!/usr/bin/env python3
"""What NumPy, SciPy and diptest make of a few series: tests/support/scipy_reference.py > tests/support/scipy_reference.txt

pip install numpy scipy diptest
"""

import diptest
import numpy
import scipy
from diptest.consts import Consts
from scipy import stats

random = numpy.random.default_rng(20261126)
two = numpy.concatenate([random.normal(1.0, 0.02, 25), random.normal(1.2, 0.02, 15)])
SERIES = {
    "nine": random.lognormal(0.0, 0.05, 9),
    "normal": random.normal(10.0, 0.3, 24),
    "tail": 0.2 + random.exponential(0.01, 41),
    "two_modes": random.permutation(two),
    "rising": random.normal(5.0, 0.1, 30) + 0.02 * numpy.arange(30),
    "even": numpy.arange(20) * 0.5,
}

print(f"# numpy {numpy.__version__}, scipy {scipy.__version__}, diptest {diptest.__version__}")
for name, values in SERIES.items():
    print("series", name, *(repr(float(value)) for value in values))

    def tell(what, *figures):
        print(what, name, *(repr(float(figure)) for figure in figures))

    for p in (0.05, 0.25, 0.5, 0.75, 0.95):
        tell("quantile", p, numpy.quantile(values, p, method="linear"))
    tell("mean", numpy.mean(values))
    tell("sd", numpy.std(values, ddof=1))
    tell("mad", stats.median_abs_deviation(values))
    tell("trend", stats.theilslopes(values).slope, stats.kendalltau(range(len(values)), values).statistic)
    tell("dip", *diptest.diptest(values, allow_zero=False))
# qDiptab of R's diptest: the dip that 5 % of uniform samples of n exceed. Smaller samples are not looked at.
exceeded = Consts._ALPHA.tolist().index(0.95)
for n, dips in zip(Consts._SAMPLE_SIZE, Consts._CRIT_VALS):
    if n >= 20:
        print("critical", n, repr(float(dips[exceeded])))
for n in (7, 8, 9, 10, 15, 20, 30, 55, 100, 200, 1000):
    # The largest j with P(Binomial(n, 1/2) <= j - 1) <= tail, for the tail of either side.
    for level in (0.95, 0.97):
        tail = (1 - level) / 2
        j = max((j for j in range(1, n + 1) if stats.binom.cdf(j - 1, n, 0.5) <= tail), default=0)
        if j:
            print("ranks", n, level, j, n + 1 - j, repr(float(1 - 2 * stats.binom.cdf(j - 1, n, 0.5))))

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

# Two samples: Mann & Whitney's test, and Hodges & Lehmann's shift with the interval that inverts it.


def most_below(n, m, tail):
    """The largest k with P(U <= k - 1) <= tail, U of samples of n and m without ties, in whole numbers."""
    table = [[None] * (m + 1) for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(m + 1):
            if i == 0 or j == 0:
                table[i][j] = [1]
                continue
            ways = [0] * (i * j + 1)
            for u, w in enumerate(table[i - 1][j]):
                ways[u + j] += w
            for u, w in enumerate(table[i][j - 1]):
                ways[u] += w
            table[i][j] = ways
    below, k = 0, 0
    for w in table[n][m]:
        below += w
        if below > tail * sum(table[n][m]):
            return k
        k += 1


random = numpy.random.default_rng(20261127)
PAIRS = {
    "apart": (random.normal(1.0, 0.02, 7), random.normal(1.05, 0.02, 7)),
    "near": (random.normal(1.0, 0.02, 12), random.normal(1.01, 0.02, 9)),
    "long": (random.lognormal(0.0, 0.1, 60), random.lognormal(0.03, 0.1, 55)),
    "tied": (numpy.round(random.normal(10.0, 1.0, 15)), numpy.round(random.normal(11.0, 1.0, 12))),
    "uneven": (random.normal(1.0, 0.02, 8), random.normal(0.99, 0.03, 30)),
}
for name, (before, after) in PAIRS.items():
    print("before", name, *(repr(float(value)) for value in before))
    print("after", name, *(repr(float(value)) for value in after))
    n, m = len(before), len(after)
    exact = len({*before, *after}) == n + m and max(n, m) <= 50
    p = stats.mannwhitneyu(after, before, method="exact" if exact else "asymptotic").pvalue
    differences = numpy.sort(numpy.subtract.outer(after, before).ravel())
    if max(n, m) <= 50:
        k = most_below(n, m, 0.025)
    else:
        k = int(n * m / 2 + stats.norm.ppf(0.025) * (n * m * (n + m + 1) / 12) ** 0.5)
    ends = differences[k - 1], differences[n * m - k]
    print("shift", name, *(repr(float(figure)) for figure in (p, numpy.median(differences), *ends)))
for dof in (1, 2, 3, 4, 7, 10, 31):
    for t in (0.1, 1.0, 2.5, 6.0):
        print("student", dof, t, repr(float(2 * stats.t.sf(t, dof))))
ps = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216, 0.222, 0.251, 0.269, 0.275, 0.34]
print("discoveries", *ps)
print("adjusted", *(repr(float(p)) for p in stats.false_discovery_control(ps)))

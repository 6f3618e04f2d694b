"""Probability distributions of Trino's MathFunctions and WilsonInterval, with their argument checks."""

from __future__ import annotations

import math
from statistics import NormalDist

from embedded.sql.errors import TrinoError

_EPSILON = 1e-16
_STANDARD = NormalDist()


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", message)


def normal_cdf(mean: float, standard_deviation: float, value: float) -> float:
    """P(N < value) of a normal distribution."""
    _check(standard_deviation > 0, "standardDeviation must be > 0")
    return 0.5 * (1.0 + math.erf((value - mean) / (standard_deviation * math.sqrt(2.0))))


def inverse_normal_cdf(mean: float, standard_deviation: float, probability: float) -> float:
    """The value with P(N < value) = probability, 0 < probability < 1."""
    _check(0 < probability < 1, "p must be 0 > p > 1")
    _check(standard_deviation > 0, "sd must be > 0")
    return mean + standard_deviation * _STANDARD.inv_cdf(probability)


def beta_cdf(a: float, b: float, value: float) -> float:
    """P(N < value) of a beta distribution: the regularised incomplete beta function."""
    _check(0 <= value <= 1, "value must be 0 >= v >= 1")
    _check(a > 0 and b > 0, "a, b must be > 0")
    return _regularised_beta(value, a, b)


def inverse_beta_cdf(a: float, b: float, probability: float) -> float:
    """The value with P(N < value) = probability."""
    _check(0 <= probability <= 1, "p must be 0 >= p >= 1")
    _check(a > 0 and b > 0, "a, b must be > 0")
    if probability in (0.0, 1.0):
        return probability
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _regularised_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_cdf(value: float, degrees_of_freedom: float) -> float:
    """P(T < value) of Student's distribution."""
    _check(degrees_of_freedom > 0, "df must be greater than 0")
    if value == 0:
        return 0.5
    tail = 0.5 * _regularised_beta(
        degrees_of_freedom / (degrees_of_freedom + value * value), degrees_of_freedom / 2, 0.5
    )
    return tail if value < 0 else 1.0 - tail


def t_pdf(value: float, degrees_of_freedom: float) -> float:
    """The density of Student's distribution."""
    _check(degrees_of_freedom > 0, "df must be greater than 0")
    half = (degrees_of_freedom + 1) / 2
    logarithm = math.lgamma(half) - math.lgamma(degrees_of_freedom / 2) - 0.5 * math.log(degrees_of_freedom * math.pi)
    return math.exp(logarithm - half * math.log1p(value * value / degrees_of_freedom))


def wilson_lower(successes: int, trials: int, z: float) -> float:
    """Lower bound of the Wilson score interval of a Bernoulli trial."""
    return _wilson(successes, trials, z, -1)


def wilson_upper(successes: int, trials: int, z: float) -> float:
    """Upper bound of the Wilson score interval of a Bernoulli trial."""
    return _wilson(successes, trials, z, +1)


def _wilson(successes: int, trials: int, z: float, side: int) -> float:
    _check(successes >= 0, "number of successes must not be negative")
    _check(trials > 0, "number of trials must be positive")
    _check(successes <= trials, "number of successes must not be larger than number of trials")
    _check(z >= 0, "z-score must not be negative")
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (centre + side * spread) / (1 + z * z / trials)


def _regularised_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) by the continued fraction (Numerical Recipes 6.4), which converges fast for x < (a+1)/(a+b+2)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _regularised_beta(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    return front * _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    result = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + numerator / c
            c = c if abs(c) > tiny else tiny
            result *= d * c
        if abs(d * c - 1.0) < _EPSILON * 10:
            break
    return result

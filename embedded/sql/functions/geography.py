"""Trino functions: distances on the globe."""

from __future__ import annotations

import math

from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import python

_EARTH_RADIUS_KILOMETRES = 6371.01


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", message)


@python("great_circle_distance(double, double, double, double) -> double")
def great_circle_distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Kilometres between two points given in degrees, on a sphere (Vincenty's formula)."""
    for degrees in (latitude, other_latitude):
        _require(-90 <= degrees <= 90, "Latitude must be between -90 and 90")
    for degrees in (longitude, other_longitude):
        _require(-180 <= degrees <= 180, "Longitude must be between -180 and 180")
    one, two = math.radians(latitude), math.radians(other_latitude)
    delta = math.radians(longitude) - math.radians(other_longitude)
    across = math.cos(two) * math.sin(delta)
    along = math.cos(one) * math.sin(two) - math.sin(one) * math.cos(two) * math.cos(delta)
    ahead = math.sin(one) * math.sin(two) + math.cos(one) * math.cos(two) * math.cos(delta)
    return math.atan2(math.sqrt(across * across + along * along), ahead) * _EARTH_RADIUS_KILOMETRES

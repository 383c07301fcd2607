"""The Sun, eight planets and Pluto, from published elements to checked orbits.

Source of the orbits: E. M. Standish, "Keplerian Elements for Approximate Positions of the Major
Planets", Solar System Dynamics Group, Jet Propulsion Laboratory, table 1: elements at J2000 (2000
January 1, 12h), mean ecliptic and equinox of J2000. Source of the masses: the reciprocal masses of
JPL's ephemeris DE405 (E. M. Standish, 1998).

Units: astronomical units, years of 365.25 days, solar masses.
"""

from typing import Dict, NamedTuple

import numpy as np

DAY = 1 / 365.25
GM_SUN = (0.01720209895 / DAY) ** 2  # Gauss's constant, squared


class Planet(NamedTuple):
    """Elements at J2000 (angles in degrees) and the mass of the Sun over the planet's."""

    name: str
    a: float
    e: float
    inclination: float
    mean_longitude: float
    perihelion_longitude: float
    node_longitude: float
    sun_over_mass: float


PLANETS = (
    Planet("Mercury", 0.38709927, 0.20563593, 7.00497902, 252.25032350, 77.45779628, 48.33076593,
           6023600.0),
    Planet("Venus", 0.72333566, 0.00677672, 3.39467605, 181.97909950, 131.60246718, 76.67984255,
           408523.71),
    Planet("Earth", 1.00000261, 0.01671123, -0.00001531, 100.46457166, 102.93768193, 0.0,
           328900.56),  # with the Moon
    Planet("Mars", 1.52371034, 0.09339410, 1.84969142, -4.55343205, -23.94362959, 49.55953891,
           3098708.0),
    Planet("Jupiter", 5.20288700, 0.04838624, 1.30439695, 34.39644051, 14.72847983, 100.47390909,
           1047.3486),
    Planet("Saturn", 9.53667594, 0.05386179, 2.48599187, 49.95424423, 92.59887831, 113.66242448,
           3497.898),
    Planet("Uranus", 19.18916464, 0.04725744, 0.77263783, 313.23810451, 170.95427630, 74.01692503,
           22902.98),
    Planet("Neptune", 30.06992276, 0.00859048, 1.77004347, -55.12002969, 44.96476227, 131.78422574,
           19412.24),
    Planet("Pluto", 39.48211675, 0.24882730, 17.14001206, 238.92903833, 224.06891629, 110.30393684,
           1.352e8),
)
GIANTS = PLANETS[4:8]
TRACK_YEARS = 30  # how much of the path is returned: one turn of Saturn


def orbit_to_vectors(gm, a, e, inclination, node, perihelion_argument, mean_anomaly):
    """Position and velocity, shape (3, ...), of Kepler orbits; angles in radians."""
    eccentric = mean_anomaly + e * np.sin(mean_anomaly)
    for _ in range(10):
        eccentric = eccentric - (eccentric - e * np.sin(eccentric) - mean_anomaly) / (
            1 - e * np.cos(eccentric))
    cos_e, sin_e = np.cos(eccentric), np.sin(eccentric)
    flat = np.sqrt(1 - e**2)
    speed = np.sqrt(gm / a) / (1 - e * cos_e)
    x, y = a * (cos_e - e), a * flat * sin_e
    vx, vy = -speed * sin_e, speed * flat * cos_e

    cos_w, sin_w = np.cos(perihelion_argument), np.sin(perihelion_argument)
    cos_n, sin_n = np.cos(node), np.sin(node)
    cos_i, sin_i = np.cos(inclination), np.sin(inclination)
    along = np.array([cos_w * cos_n - sin_w * sin_n * cos_i,
                      cos_w * sin_n + sin_w * cos_n * cos_i,
                      sin_w * sin_i])
    across = np.array([-sin_w * cos_n - cos_w * sin_n * cos_i,
                       -sin_w * sin_n + cos_w * cos_n * cos_i,
                       cos_w * sin_i])
    return x * along + y * across, vx * along + vy * across


def system(planets=PLANETS):
    """Masses, positions and velocities of the Sun and the planets about their common centre."""
    masses, positions, velocities = [1.0], [np.zeros(3)], [np.zeros(3)]
    for planet in planets:
        mass = 1 / planet.sun_over_mass
        longitudes = np.radians([planet.mean_longitude, planet.perihelion_longitude,
                                 planet.node_longitude])
        position, velocity = orbit_to_vectors(
            GM_SUN * (1 + mass), planet.a, planet.e, np.radians(planet.inclination),
            longitudes[2], longitudes[1] - longitudes[2], longitudes[0] - longitudes[1])
        masses.append(mass)
        positions.append(position)
        velocities.append(velocity)
    masses = np.array(masses)
    positions, velocities = np.array(positions), np.array(velocities)
    positions -= masses @ positions / masses.sum()
    velocities -= masses @ velocities / masses.sum()
    return masses, positions, velocities


def accelerations(masses, positions):
    """Newton's law between all pairs."""
    apart = positions[None, :, :] - positions[:, None, :]
    square = np.einsum("ijk,ijk->ij", apart, apart)
    np.fill_diagonal(square, 1.0)  # a body does not pull itself: apart is zero there
    pull = GM_SUN * masses / (square * np.sqrt(square))
    return np.einsum("ij,ijk->ik", pull, apart)


def energy(masses, positions, velocities):
    """Kinetic and potential energy of the whole system."""
    kinetic = 0.5 * masses @ np.einsum("ik,ik->i", velocities, velocities)
    first, second = np.triu_indices(len(masses), 1)
    apart = np.linalg.norm(positions[first] - positions[second], axis=1)
    return kinetic - GM_SUN * np.sum(masses[first] * masses[second] / apart)


# Yoshida's fourth-order composition of three leapfrogs (H. Yoshida, 1990): symplectic, so its error
# in energy swings and does not grow.
_OUTER = 1 / (2 - 2 ** (1 / 3))
YOSHIDA = (_OUTER, 1 - 2 * _OUTER, _OUTER)


def integrate(masses, positions, velocities, step, count):
    """Yields positions and velocities after each of `count` steps; the arrays are reused."""
    for _ in range(count):
        for share in YOSHIDA:
            positions += (0.5 * share * step) * velocities
            velocities += (share * step) * accelerations(masses, positions)
            positions += (0.5 * share * step) * velocities
        yield positions, velocities


def follow_planets(years=100, step=1 / 256) -> Dict[str, object]:
    """Integrates all ten bodies; returns what lets one trust it.

    The energy's largest relative error; the period of each planet in days, measured from the angle
    that it sweeps around the Sun (the outermost complete no turn, and are left out); the path of
    the last years as seen from above, shape (times, planets, 2).
    """
    masses, positions, velocities = system()
    first_energy = energy(masses, positions, velocities)
    worst = 0.0
    count = round(years / step)

    def longitudes():
        from_sun = positions[1:] - positions[0]
        return np.arctan2(from_sun[:, 1], from_sun[:, 0])

    swept = np.zeros(len(PLANETS))
    before = longitudes()
    track = []
    for number, _ in enumerate(integrate(masses, positions, velocities, step, count), 1):
        now = longitudes()
        swept += (now - before) % (2 * np.pi)  # all of them go around eastwards
        before = now
        if number % 8 == 0:
            error = energy(masses, positions, velocities) / first_energy - 1
            worst = max(worst, abs(error))
        if number > count - TRACK_YEARS / step and number % 4 == 0:
            track.append((positions[1:] - positions[0])[:, :2].copy())
    turns = swept / (2 * np.pi)
    periods = {planet.name: float(years / turn / DAY)
               for planet, turn in zip(PLANETS, turns) if turn >= 1}
    return {"years": years, "steps": count, "energy_error": float(worst), "period_days": periods,
            "track": np.array(track, dtype=np.float32)}

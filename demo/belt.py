"""Test particles between Mars and Jupiter, and where the giants' pull does not let them rest.

A particle without mass feels the Sun and the four giants. Its orbit's size, the semi-major axis,
trembles all the time; averaged over about 50 years it stands still, except where the particle's
year is a simple fraction of Jupiter's: there the pulls add up, and the average wanders. These are
the gaps that D. Kirkwood saw between the asteroids in 1866.

The method is the symplectic map of J. Wisdom and M. Holman (1991): exact motion around the Sun,
then a kick by the giants, and again. All particles of a task move together in numpy arrays.
"""

from functools import lru_cache

import numpy as np

from planets import GIANTS, GM_SUN, integrate, orbit_to_vectors, system

STEP = 0.25  # years: 11 steps to the shortest orbit; the map is exact for the Sun's part
WINDOW = 50.0  # years of one average
SAMPLE = 4  # steps between two samples of the semi-major axis


@lru_cache(maxsize=1)
def giants_path(years):
    """Where the giants are at each kick, seen from the Sun, and how they pull the Sun itself.

    Shapes (kicks, 3, 4, 1) and (kicks, 3, 1). The same for every task: a warm worker runs many
    tasks in one process, and so computes it once.
    """
    substeps = 2
    masses, positions, velocities = system(GIANTS)
    count = round(years / STEP)
    path = np.empty((count + 1, 3, len(GIANTS)))
    path[0] = (positions[1:] - positions[0]).T
    for number, _ in enumerate(
            integrate(masses, positions, velocities, STEP / substeps, count * substeps), 1):
        if number % substeps == 0:
            path[number // substeps] = (positions[1:] - positions[0]).T
    gm = GM_SUN * masses[1:]
    sun_pull = np.einsum("tkg,tg->tk", path, gm / np.linalg.norm(path, axis=1) ** 3)
    return gm[:, None], path[:, :, :, None], sun_pull[:, :, None]


def kick(position, gm, giants, sun_pull):
    """The pull of the giants on particles at (3, n), less that on the Sun, which is our origin."""
    apart = giants - position[:, None, :]
    square = np.einsum("kgn,kgn->gn", apart, apart)
    return np.einsum("kgn,gn->kn", apart, gm / (square * np.sqrt(square))) - sun_pull


def drift(position, velocity, step):
    """Moves particles along their Kepler orbits, exactly, by Gauss's f and g functions."""
    radius = np.sqrt(np.einsum("kn,kn->n", position, position))
    per_a = 2 / radius - np.einsum("kn,kn->n", velocity, velocity) / GM_SUN  # 1 / a
    root = np.sqrt(GM_SUN * per_a)
    motion = root * per_a
    e_cos = 1 - radius * per_a
    e_sin = np.einsum("kn,kn->n", position, velocity) * (root / GM_SUN)

    # The change x of the eccentric anomaly: x - e_cos sin x + e_sin (1 - cos x) = motion step.
    target = motion * step
    x = target
    for _ in range(2):  # Halley cubes the error each time: from 0.1 to 1e-5 to nothing
        sin_x, rest_x = np.sin(x), 1 - np.cos(x)
        slope = 1 - e_cos + e_cos * rest_x + e_sin * sin_x
        bend = e_cos * sin_x + e_sin - e_sin * rest_x
        value = x - e_cos * sin_x + e_sin * rest_x - target
        x = x - value / (slope - 0.5 * value * bend / slope)
    sin_x, rest_x = np.sin(x), 1 - np.cos(x)
    slope = 1 - e_cos + e_cos * rest_x + e_sin * sin_x
    radius *= per_a
    f = 1 - rest_x / radius
    g = step - (x - sin_x) / motion
    f_dot = -motion * sin_x / (radius * slope)
    g_dot = 1 - rest_x / slope
    return f * position + g * velocity, f_dot * position + g_dot * velocity


def release(a, width, count, seed):
    """Particles like asteroids: evenly from a to a + width, e 0.05 to 0.2, up to 10 degrees."""
    random = np.random.default_rng(seed)
    start = a + width * (np.arange(count) + 0.5) / count
    angles = random.uniform(0, 2 * np.pi, (3, count))
    return (start, *orbit_to_vectors(GM_SUN, start, random.uniform(0.05, 0.2, count),
                                     np.radians(random.uniform(0, 10, count)), *angles))


def wander(a, width, count=40, years=1000.0, seed=0):
    """Releases particles from `a` to `a + width`; returns where, and how far each one wanders.

    The wander of a particle is the largest minus the smallest of the averages of its semi-major
    axis over the windows of 50 years, in astronomical units; NaN for one that left the Sun.
    """
    gm, path, sun_pull = giants_path(years)
    start, position, velocity = release(a, width, count, seed)
    samples = []
    pull = kick(position, gm, path[0], sun_pull[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        for number in range(1, len(path)):
            velocity += (0.5 * STEP) * pull
            position, velocity = drift(position, velocity, STEP)
            pull = kick(position, gm, path[number], sun_pull[number])
            velocity += (0.5 * STEP) * pull
            if number % SAMPLE == 0:
                radius = np.sqrt(np.einsum("kn,kn->n", position, position))
                square = np.einsum("kn,kn->n", velocity, velocity)
                samples.append(1 / (2 / radius - square / GM_SUN))
    per_window = round(WINDOW / (STEP * SAMPLE))
    windows = len(samples) // per_window
    averages = np.array(samples[:windows * per_window]).reshape(windows, per_window, -1).mean(1)
    return start, averages.max(0) - averages.min(0)

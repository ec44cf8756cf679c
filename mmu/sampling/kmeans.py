"""k-means, and how many clusters to take.

Lloyd's iterations from k-means++ (Arthur and Vassilvitskii, SODA 2007), the best of several starts.
The number of clusters is the smallest whose Bayesian information criterion, as Pelleg and Moore
have it (X-means, ICML 2000), is at least ENOUGH of the way from the worst to the best, as SimPoint
has it.
"""

from __future__ import annotations

import numpy as np

STARTS = 5  # SimPoint's
ITERATIONS = 100
ENOUGH = 0.9


def clustered(
    points: np.ndarray, most: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(labels, centres) of points, float64[n, d], in at most so many clusters, none empty, numbered
    by their first member."""
    tries = [_best(points, k, random) for k in range(1, min(most, len(points)) + 1)]
    scores = np.array([bic(points, *each) for each in tries])
    best, worst = scores.max(), scores.min()
    labels, _ = tries[int(np.argmax(scores >= worst + ENOUGH * (best - worst)))]
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    labels = rank[labels.reshape(-1)]
    return labels, np.array([points[labels == each].mean(axis=0) for each in range(len(rank))])


def _best(points: np.ndarray, k: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    tries = [_lloyd(points, _begun(points, k, random)) for _ in range(STARTS)]
    return min(tries, key=lambda each: float(((points - each[1][each[0]]) ** 2).sum()))


def _begun(points: np.ndarray, k: int, random: np.random.Generator) -> np.ndarray:
    """k-means++: each next centre a point, by chance as far as it is from those before it."""
    centres = points[[int(random.integers(len(points)))]]
    while len(centres) < k:
        far = _distances(points, centres).min(axis=1)
        total = far.sum()
        chances = far / total if total else None
        at = int(random.choice(len(points), p=chances))
        centres = np.concatenate([centres, points[[at]]])
    return centres


def _lloyd(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        nearest = _distances(points, centres).argmin(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        for each in np.unique(labels):
            centres[each] = points[labels == each].mean(axis=0)
    return labels, centres


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squares of distances, float64[point, centre]."""
    return np.asarray(((points[:, None] - centres[None]) ** 2).sum(axis=2))


def bic(points: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> float:
    """The criterion of a clustering: the likelihood of the points under spherical Gaussians of one
    variance, less what its parameters cost."""
    count, dimensions = points.shape
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    k = len(sizes)
    spread = float(((points - centres[labels]) ** 2).sum())
    variance = max(spread / (dimensions * max(1, count - k)), 1e-12)
    likelihood = float((sizes * np.log(sizes / count)).sum())
    likelihood -= count * dimensions / 2 * np.log(2 * np.pi * variance)
    likelihood -= dimensions * (count - k) / 2
    parameters = (k - 1) + k * dimensions + 1
    return likelihood - parameters / 2 * float(np.log(count))

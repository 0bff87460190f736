"""How well a score picks the right labels: selective risk against coverage, and the areas under such curves.

Rows are accepted from the highest score down. With ``l`` the loss of a row (1 if it is wrong, else 0) and n rows:

=================== ==================================================================================================
selective risk      mean loss of the accepted (Geifman and El-Yaniv 2017)
AURC                mean of the selective risk over the n coverages i / n (Geifman, Uziel and El-Yaniv, "Bias-Reduced
                    Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019); its least value is that of an
                    oracle, and AURC minus that is E-AURC. The most confident few weigh most in it
generalised risk    summed loss of the accepted over **all** n: the share of rows that are wrong and accepted
AUGRC               area under the generalised risk over coverage, by trapezoids from (0, 0) (Traub et al., "Overcoming
                    Common Flaws in the Evaluation of Selective Classification Systems", NeurIPS 2024). For losses of
                    0 and 1 it is ``(1 - AUROC) * acc * (1 - acc) + (1 - acc)^2 / 2``
=================== ==================================================================================================

Rows of equal score are accepted in random order, and every figure is its expectation over those orders. A NaN score is
lower than any number: such a row is accepted last. All functions take weights, such as how often a cluster was drawn.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.metrics.inputs import AnyFloats, Floats

Integers = npt.NDArray[np.intp]

LAST: Final = -np.inf
"""Score of a row without one."""


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """A curve, one point for every row that is accepted.

    Attributes:
        coverage: (N,) accepted share of all rows, ascending to 1.
        selective_risk: (N,) mean loss of the accepted.
        generalised_risk: (N,) loss of the accepted over all rows.
        score: (N,) the score down to which rows are accepted.
    """

    coverage: Floats
    selective_risk: Floats
    generalised_risk: Floats
    score: Floats


@dataclass(frozen=True, eq=False)
class Ranking:
    """N rows from the highest score down, sorted once for any number of weightings.

    Attributes:
        order: (N,) rows, best first.
        loss: (N,) in that order.
        score: (N,) in that order.
        group: (N,) number of each row's group of equal scores, ascending from 0.
    """

    order: Integers
    loss: Floats
    score: Floats
    group: Integers

    @classmethod
    def of(cls, score: AnyFloats, loss: AnyFloats) -> "Ranking":
        """Sort rows.

        Args:
            score: (N,) higher is accepted earlier, N >= 1.
            loss: (N,) of [0, 1].

        Raises:
            ContractError: other shapes, or a loss outside [0, 1].
        """
        scores, losses = np.asarray(score, dtype=np.float64), np.asarray(loss, dtype=np.float64)
        is_loss = bool(((losses >= 0.0) & (losses <= 1.0)).all())
        if scores.ndim != 1 or scores.shape != losses.shape or not scores.size or not is_loss:
            expected, found = "(N,) scores and (N,) losses of [0, 1], N >= 1", f"{scores.shape} and {losses.shape}"
            fix = "Give every row a loss; a row without a score has NaN."
            raise ContractError(describe(what="scores and losses", expected=expected, found=found, fix=fix))
        scores = np.where(np.isnan(scores), LAST, scores)
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        is_new = np.concatenate([[False], ranked[1:] != ranked[:-1]])
        return cls(order, losses[order], ranked, np.cumsum(is_new))

    def aurc(self, weights: AnyFloats | None = None) -> float:
        """Return AURC. With weights it is the mean over rows, each as often as it weighs; NaN where none weighs.

        A row of weight w stands for w rows in a line, each with the selective risk at its middle; whole weights of
        equal rows differ from as many single rows in the second order only.
        """
        weight, loss = self._spread(weights)
        accepted, wrong = np.cumsum(weight), np.cumsum(weight * loss)
        if accepted[-1] <= 0.0:
            return float("nan")
        has = weight > 0.0
        if weights is None:
            return float((wrong / accepted).mean())
        middle = (wrong - 0.5 * weight * loss)[has] / (accepted - 0.5 * weight)[has]
        return float((weight[has] * middle).sum() / accepted[-1])

    def augrc(self, weights: AnyFloats | None = None) -> float:
        """Return AUGRC, with weights as if each row were there as often as it weighs; NaN where none weighs."""
        weight, loss = self._spread(weights)
        total = weight.sum()
        if total <= 0.0:
            return float("nan")
        wrong = np.cumsum(weight * loss)
        return float((weight * (wrong - 0.5 * weight * loss)).sum() / total**2)

    def curve(self) -> RiskCoverage:
        """Return the curve."""
        weight, loss = self._spread(None)
        accepted, wrong = np.cumsum(weight), np.cumsum(weight * loss)
        count = float(len(loss))
        return RiskCoverage(accepted / count, wrong / accepted, wrong / count, self.score)

    def risk_at(self, coverage: float, weights: AnyFloats | None = None) -> float:
        """Return the selective risk when this share of the rows is accepted; NaN where that is none."""
        weight, loss = self._spread(weights)
        accepted, wrong = np.cumsum(weight), np.cumsum(weight * loss)
        target = coverage * accepted[-1]
        if target <= 0.0:
            return float("nan")
        # within a group of equal scores rows come in random order, so the loss grows in a line
        at = float(np.interp(target, np.append(0.0, accepted), np.append(0.0, wrong)))
        return at / float(target)

    def _spread(self, weights: AnyFloats | None) -> tuple[Floats, Floats]:
        """(N,) weights in order, and losses of which each is the weighted mean of its group of equal scores."""
        weight = np.ones(len(self.loss)) if weights is None else np.asarray(weights, dtype=np.float64)[self.order]
        if self.group[-1] == len(self.group) - 1:
            return weight, self.loss
        total = np.bincount(self.group, weights=weight)
        wrong = np.bincount(self.group, weights=weight * self.loss)
        mean = np.divide(wrong, total, out=np.zeros_like(wrong), where=total > 0.0)
        return weight, mean[self.group]


def aurc(score: AnyFloats, loss: AnyFloats) -> float:
    """Return the area under selective risk over coverage; see the module."""
    return Ranking.of(score, loss).aurc()


def augrc(score: AnyFloats, loss: AnyFloats) -> float:
    """Return the area under generalised risk over coverage; see the module."""
    return Ranking.of(score, loss).augrc()


def oracle_score(loss: AnyFloats) -> Floats:
    """Return the score that accepts every right row before any wrong one."""
    return -np.asarray(loss, dtype=np.float64)


def random_score(loss: AnyFloats) -> Floats:
    """Return the score that tells nothing: all rows are equal, so every figure is that of a random order."""
    return np.zeros(np.asarray(loss).shape)

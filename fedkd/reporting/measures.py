"""What is reported and how it is called: the order of scopes, the metric that counts, sizes in words.

>>> primary_metric(["loss", "accuracy"])
'accuracy'
>>> size_words(1_234_567)
'1.23 MB'
"""

from collections.abc import Collection

from fedkd.foundation.errors import RunFolderError

SCOPES = {
    "student": "student",
    "ensemble_uniform": "ensemble, uniform",
    "ensemble_weighted": "ensemble, weighted",
    "ensemble_oracle": "ensemble, oracle",
    "clients_mean": "clients, mean",
    "clients_worst": "clients, worst",
    "local_only": "local only",
    "proxy_labels": "proxy labels",
    "pseudo_labels": "pseudo-labels",
    "fedavg": "FedAvg",
    "pooled": "pooled data",
}
"""Scopes of an evaluation in reading order, and what they are called in tables and pictures."""

BASELINES = ("local_only", "proxy_labels", "pseudo_labels", "fedavg", "pooled")
"""Scopes that are trained beside the run, on the same budget."""

_PRIMARY = ("accuracy", "auc", "r2", "ndcg_10", "rmse", "loss")


def primary_metric(metrics: Collection[str]) -> str:
    """Return the metric that pictures and tables show: accuracy where there is one, else R squared.

    Raises:
        RunFolderError: there is no metric at all.
    """
    for name in _PRIMARY:
        if name in metrics:
            return name
    if not metrics:
        raise RunFolderError("no metric was recorded yet; let the run finish a round first")
    return min(metrics)


def report_split(splits: Collection[str]) -> str:
    """Return the split to report on: test, or validation where nothing was tested."""
    return "test" if "test" in splits else "validation"


def scope_words(scope: str) -> str:
    """Return what a scope is called in tables and pictures."""
    return SCOPES.get(scope, scope.replace("_", " "))


def metric_words(metric: str) -> str:
    """Return what a metric is called in tables and pictures."""
    known = {
        "r2": "R\N{SUPERSCRIPT TWO}",
        "rmse": "RMSE",
        "mae": "MAE",
        "ece": "calibration error",
        "macro_f1": "macro F1",
        "ndcg_10": "NDCG@10",
        "hr_10": "HR@10",
        "mrr": "MRR",
        "auc": "area under the ROC curve",
        "eer": "equal error rate",
        "rank_1": "rank-1 identification",
        "tar_at_far_0.01": "true accept rate at 1 % false accepts",
    }
    return known.get(metric, metric.replace("_", " "))


def size_words(size: float) -> str:
    """Return a number of bytes in decimal units with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"

"""What each method's paper says of it, as a sign: better or worse than what, measured how. `methods.py` holds results against it.

Signs as they are commonly cited; the papers' own tables were not read again. A method may have several; a recipe without one is listed
as such. A claim is about the paper's own tasks: that it does not show itself on a small one does not refute the paper.
"""

from dataclasses import dataclass
from typing import Literal

from simulations.study import Interval

Measure = Literal["model", "clients", "own", "megabytes"]
"""The model to be deployed (the student, or the clients' mean where there is none) and the clients' mean on global test data; on own data; traffic."""

Outcome = Literal["held", "not settled", "reversed"]


@dataclass(frozen=True)
class Claim:
    """A method is above or below a reference in a measure."""

    method: str
    sign: Literal[">", "<"]
    reference: str
    measure: Measure
    source: str

    def outcome(self, difference: Interval) -> Outcome:
        """Judge the paired difference (method minus reference) by its interval."""
        varies = difference.low < difference.high  # one seed has no interval; traffic need not vary
        if not difference.excludes_zero or not (varies or self.measure == "megabytes"):
            return "not settled"
        return "held" if (difference.mean > 0) == (self.sign == ">") else "reversed"


CLAIMS = (
    Claim("fd", "<", "fedavg", "model", "FedGen's table: FD far below FedAvg under label skew"),
    Claim(
        "fedmd", ">", "local", "clients", "Li & Wang 2019: clients gain up to 20 points over training alone"
    ),
    Claim("dsfl", ">", "fd", "clients", "Itahara et al. 2020: above distillation by class means"),
    Claim("feddf", ">", "fedavg", "model", "Lin et al. 2020: distilling the ensemble beats averaging"),
    Claim("feddf", ">", "pseudo-labels", "model", "soft labels carry more than hard ones"),
    Claim("fedprox", ">", "fedavg", "model", "Li et al. 2020: above FedAvg on heterogeneous data"),
    Claim("fedntd", ">", "fedavg", "model", "Lee et al. 2022: less forgetting, above FedAvg"),
    Claim("fedgkd", ">", "fedavg", "model", "Yao et al. 2021: above FedAvg under skew"),
    Claim("fedssd", ">", "fedavg", "model", "He et al. 2022: above FedAvg under skew"),
    Claim("fedcad", ">", "fedavg", "model", "He et al. 2022: above FedAvg under skew"),
    Claim("fedgen", ">", "fedavg", "model", "Zhu et al. 2021: above FedAvg, FedDF and FD"),
    Claim("fedbe", ">", "fedavg", "model", "Chen & Chao 2021: a Bayesian ensemble beats averaging"),
    Claim("fedaux", ">", "feddf", "model", "Sattler et al. 2021: certainty weights beat FedDF's mean"),
    Claim("fedftg", ">", "fedavg", "model", "Zhang et al. 2022: fine-tuning without data beats averaging"),
    Claim(
        "dense", ">", "fedavg-once", "model", "Zhang et al. 2022: one shot without data beats averaging once"
    ),
    Claim("fedkd", "<", "fedavg", "megabytes", "Wu et al. 2022: a small part of FedAvg's traffic"),
    Claim("fml", ">", "fedavg", "model", "Shen et al. 2020: the shared model is above FedAvg's"),
    Claim("fml", ">", "local", "own", "Shen et al. 2020: private models gain"),
    Claim("fedproto", ">", "local", "own", "Tan et al. 2022: personal models gain from prototypes"),
    Claim(
        "fedgkt",
        ">",
        "fedavg",
        "model",
        "He et al. 2020: level with FedAvg of a network as large as the server's",
    ),
    Claim("kt_pfl", ">", "fedmd", "own", "Zhang et al. 2021: a personal consensus beats a common one"),
    Claim(
        "cfd", "<", "dsfl", "megabytes", "Sattler et al. 2020: votes need far fewer bytes than soft labels"
    ),
    Claim("mhat", ">", "fedmd", "clients", "Hu et al. 2021: above FedMD"),
    Claim("fedgems", ">", "fedmd", "clients", "Cheng et al. 2021: above FedMD and its kind"),
    Claim("cronus", ">", "local", "clients", "Chang et al. 2019: clients gain without an attacker, too"),
)

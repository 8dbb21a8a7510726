"""Combinations of parts that cannot work, refused before anything is loaded or started."""

import importlib.util
from typing import TYPE_CHECKING

from fedkd.aggregation.fusions.base import ClasswiseFusion
from fedkd.aggregation.teachers import CLASS_COUNTS, Need
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.assembly.architectures import check_networks
from fedkd.assembly.objectives import check_terms
from fedkd.assembly.tasks import check_task
from fedkd.data import federated
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.foundation.errors import IllegalCombination, InvalidOption, RuntimeUnavailable
from fedkd.runtime.runtimes.ray import Ray

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


NEEDED: dict[Need, str] = {
    "labels": "the labels of the proxy set",
    "student": "what the student says before it learns",
    "validation": "the scores of the clients' networks on validation data",
    "clients": "what clients say about themselves",
}
"""What a weighting may need, in words."""


def check(experiment: "Experiment") -> None:
    """Refuse what cannot work.

    Raises:
        InvalidOption: an option that does not fit another one.
        IllegalCombination: parts that do not go together, with a way out.
    """
    settings = experiment.settings
    if settings.clients_per_round is not None and settings.clients_per_round > settings.clients:
        raise InvalidOption(
            "clients_per_round",
            settings.clients_per_round,
            f"a whole number from 1 to clients={settings.clients}",
        )
    per_round = settings.clients_per_round or settings.clients
    if settings.min_clients > per_round and not experiment.method.pool:
        raise InvalidOption(
            "min_clients", settings.min_clients, f"at most the {per_round} clients of a round"
        )
    if settings.rounds < (least := experiment.method.strategy.least_rounds):
        raise InvalidOption(
            "rounds", settings.rounds, f"at least {least}, one for the student and for each that comes before"
        )
    _check_runtime(experiment)
    federated.check(experiment.data, experiment.partition, experiment.proxy, settings.clients)
    check_task(experiment)
    check_parts(experiment)
    _check_proxy(experiment)
    check_networks(experiment)
    check_terms(experiment)


def _check_runtime(experiment: "Experiment") -> None:
    if isinstance(experiment.runtime, Ray) and importlib.util.find_spec("ray") is None:
        raise RuntimeUnavailable(
            "runtime=ray needs Ray, which is not installed: `pip install 'flwr[simulation]'`, or take runtime=inline"
        )
    name, seconds = experiment.resolved["runtime"]["name"], experiment.settings.client_timeout
    if seconds is not None and not experiment.runtime.keeps_time:
        raise IllegalCombination(
            f"client_timeout={seconds:g} has no effect with runtime={name}, which can cut no client off; take client_timeout=null, or runtime=ray"
        )
    if experiment.runtime.one_by_one and isinstance(experiment.engine, Vectorised):
        raise IllegalCombination(
            f"engine=vectorised: runtime={name} hands over one client at a time; take engine=auto or "
            "engine=sequential, or runtime=ray"
        )
    if isinstance(experiment.engine, Vectorised) and not experiment.method.client.vectorises:
        raise IllegalCombination(
            f"engine=vectorised: method.client={experiment.named('client')} says that its clients cannot be trained at once; "
            "take engine=auto or engine=sequential"
        )


def check_parts(experiment: "Experiment") -> None:
    """Refuse parts of the method that do not go together, whatever the data and the networks.

    Raises:
        IllegalCombination: with a way out.
    """
    method = experiment.method
    kind = None if method.knowledge is None else experiment.resolved["method"]["knowledge"]["name"]
    takes = method.strategy.takes
    if kind not in takes and not (kind is not None and ":" in kind):
        allowed = " or ".join("null" if name is None else name for name in takes)
        raise IllegalCombination(
            f"method.knowledge={kind or 'null'}: method.strategy={experiment.named('strategy')} takes {allowed}; set method.knowledge to it, "
            "or choose a method with method=NAME"
        )
    if method.strategy.needs_fusion and method.fusion is None:
        raise IllegalCombination(
            f"method.strategy={experiment.named('strategy')} needs method.fusion, for instance mean_logits"
        )
    if method.strategy.needs_distiller and method.distiller is None:
        raise IllegalCombination(
            f"method.distiller=null: method.strategy={experiment.named('strategy')} distils; give it one, or take method=fedavg, which averages"
        )
    if method.client.carries_student and method.strategy.needs_groups:
        raise IllegalCombination(
            f"method.client={experiment.named('client')}: its clients share one network, the student, and method.strategy="
            f"{experiment.named('strategy')} works on those of each architecture; take method.strategy=averaging"
        )
    if method.strategy.rests and not method.client.persistent:
        raise IllegalCombination(
            f"method.client={experiment.named('client')} keeps no network, and clients rest after the first round; take method.client=teacher"
        )
    _check_own_samples(experiment)
    _check_unused(experiment)
    _check_weighting(experiment)
    _check_codecs(experiment, kind)


def _check_own_samples(experiment: "Experiment") -> None:
    """Refuse clients that learn about other samples than their server speaks about, and to stop by data that the student cannot read."""
    method = experiment.method
    if method.strategy.tells_of_own != method.client.told_of_own:
        about = "the clients' own samples" if method.strategy.tells_of_own else "no samples of the clients"
        raise IllegalCombination(
            f"method.client={experiment.named('client')}: method.strategy={experiment.named('strategy')} speaks about {about}; "
            "method.client=fedgkt goes with method.strategy=group_transfer, and other clients with other strategies"
        )
    if method.split_layer is not None and method.distiller is not None and method.distiller.patience:
        raise IllegalCombination(
            f"method.distiller.patience={method.distiller.patience}: the student reads a layer of the clients' networks, and the server has no "
            "validation data of that kind; leave it out"
        )


def _check_codecs(experiment: "Experiment", kind: str | None) -> None:
    """Refuse codecs of what they cannot carry: weights, logits where they need distributions, differences to no copy."""
    method = experiment.method
    # A kind of another package may give anything; what a fusion gives goes down.
    up = None if kind is None or ":" in kind else kind
    down = up
    if method.fusion is not None:
        down = method.fusion.gives
    elif up is not None and method.knowledge is not None and method.knowledge.returns is not None:
        down = method.knowledge.returns
    said = {"codec": up, "codec_down": down}
    for (slot, carries), codec in zip(said.items(), method.codecs, strict=True):
        key = f"method.{slot}" if experiment.resolved["method"][slot] else "method.codec"
        if method.strategy.needs_float32 and codec.name != "float32":
            raise IllegalCombination(
                f"{key}={codec.name}: weights cross as float32 here; codecs are for knowledge about samples and labels, and for updates of weights "
                "(method.strategy=update_averaging method.knowledge=updates)"
            )
        if codec.needs_probabilities and carries not in {None, "probabilities"}:
            way = (
                "method.knowledge=probabilities"
                if slot == "codec"
                else "another method.codec_down, or a method.fusion of probabilities"
            )
            raise IllegalCombination(
                f"{key}={codec.name} is for probabilities, and {carries} would cross; take {way}"
            )
        if codec.remembers and not method.strategy.keeps_copies:
            raise IllegalCombination(
                f"{key}={codec.name} needs copies on both sides, which method.strategy={experiment.named('strategy')} does not keep; "
                "codistillation does"
            )


def _check_unused(experiment: "Experiment") -> None:
    """Refuse parts that a built-in strategy would never look at, so that nobody believes they had an effect."""
    method = experiment.method
    if method.strategy.needs_fusion or not type(method.strategy).__module__.startswith("fedkd.strategies."):
        return
    unused = {
        "fusion": method.fusion is not None,
        "distiller": method.distiller is not None and not method.strategy.needs_distiller,
        "weighting": not isinstance(method.weighting, Uniform),
    }
    for slot in (slot for slot, given in unused.items() if given):
        raise IllegalCombination(
            f"method.{slot} has no effect with method={method.name}, whose strategy {experiment.named('strategy')} fuses no outputs; "
            "leave it out, or take fedmd, dsfl or feddf"
        )


def _check_weighting(experiment: "Experiment") -> None:
    """Refuse a weighting that needs what is not known, and a fusion for which teachers must count alike."""
    method, slot = experiment.method, f"method.weighting={experiment.named('weighting')}"
    strategy = experiment.named("strategy")
    for need in sorted(method.weighting.needs - method.strategy.offers):
        ways = ["another weighting", "feddf, which has it"]
        if need == "validation" and {"labels", "clients"} <= method.strategy.offers:
            ways.insert(0, "method.weighting.on=proxy or holdout")
        raise IllegalCombination(
            f"{slot} needs {NEEDED[need]}, which {strategy} does not have; take {', or '.join(ways)}"
        )
    if "student" in method.weighting.needs and method.distiller is None:
        raise IllegalCombination(
            f"{slot} needs {NEEDED['student']}, and without method.distiller there is none that learns; set method.distiller={{}}"
        )
    if "labels" in method.weighting.needs and not experiment.labels_on_proxy:
        raise IllegalCombination(
            f"{slot} needs {NEEDED['labels']}, and this proxy set has none; take proxy=heldout proxy.labelled=true, or another weighting"
        )
    if (
        method.fusion is not None
        and method.fusion.needs_equal_weights
        and not isinstance(method.weighting, Uniform)
    ):
        raise IllegalCombination(
            f"{slot}: with method.fusion={experiment.named('fusion')} every teacher has one vote; take method.weighting=uniform"
        )

    if isinstance(method.fusion, ClasswiseFusion) and CLASS_COUNTS not in method.weighting.sends:
        asks = "clients" in method.strategy.offers
        way = "" if asks else "another method.fusion, or method=feddf with "
        raise IllegalCombination(
            f"method.fusion={experiment.named('fusion')} goes by the classes that each client has seen, which with "
            f"{slot if asks else f'method.strategy={strategy}'} nobody sends; "
            f"take {way}method.weighting={{name:class_counts,by:teachers}}"
        )


def _check_proxy(experiment: "Experiment") -> None:
    method = experiment.method
    if method.needs_proxy and experiment.proxy is None:
        raise IllegalCombination(
            f"method={method.name} needs a proxy set, proxy=none gives none; take proxy=heldout, proxy=dataset or proxy=noise"
        )
    if experiment.proxy is not None and not experiment.labels_on_proxy:
        _check_labels(experiment)
    size = experiment.resolved["method"]["strategy"].get("samples_per_round")
    pool = experiment.data.sizes().train
    if size is not None and experiment.proxy is not None and size > experiment.proxy.count(pool):
        raise InvalidOption(
            "method.strategy.samples_per_round",
            size,
            f"at most the {experiment.proxy.count(pool)} samples of the proxy set",
        )


def _check_labels(experiment: "Experiment") -> None:
    """Refuse what learns from labels of a proxy set that has none."""
    method = experiment.method
    ways_out = {
        "client": "method.client.pretrain.epochs=0 and method.client.label_weight=0",
        "distiller": "method.distiller.label_weight=0",
        "strategy": f"another method.strategy than {experiment.named('strategy')}",
    }
    ways = [way for slot, way in ways_out.items() if slot in method.label_learners]
    if ways:
        raise IllegalCombination(
            f"method={method.name} trains on the labels of the proxy set, and this proxy set has none; "
            f"take proxy=heldout proxy.labelled=true, or {' and '.join(ways)}"
        )

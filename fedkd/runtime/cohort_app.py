"""A client app that can be given the messages of several clients at once.

It is a Flower `ClientApp` like any other: Flower's own runtime calls it with one message at a time. Our grids ask it which
clients belong together and give it those at once; each still has a content, a context and an answer of its own.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp

from fedkd.runtime.values import Value


class CohortApp(ClientApp):
    """A client app that works on cohorts."""

    @abstractmethod
    def cohorts(self, run_config: Mapping[str, Value], clients: Sequence[int]) -> list[list[int]]:
        """Return which clients are handled at once, as positions in `clients`, in the order in which replies count.

        It must follow from its arguments alone: then results do not depend on who carries which cohort.
        """

    @abstractmethod
    def together(
        self, kind: str, contents: Sequence[RecordDict], contexts: Sequence[Context]
    ) -> list[RecordDict | Exception]:
        """Return what each client says, or what went wrong for it.

        Args:
            kind: type of the messages, the same for all.
            contents: of the messages; clients that were sent the same share the object, which must not be changed.
            contexts: hold states of their own, to be changed.
        """

    def work(self, run_config: Mapping[str, Value], kind: str, clients: Sequence[int]) -> Sequence[float]:
        """Return the work that is expected of each client, at least 0 and in any unit; all the same where nothing is known of it.

        Grids hand out first what takes longest, and as much to each worker; no result depends on it.
        """
        del run_config, kind
        return [1.0] * len(clients)

    def lend(self, run_config: Mapping[str, Value]) -> object:
        """Return what every process needs to work, made once by the driver; it must be picklable. None is nothing."""
        del run_config
        return None

    def borrow(self, run_config: Mapping[str, Value], lent: object) -> None:
        """Take up what the driver lent; arrays in it are shared between processes and must not be written to."""
        del run_config, lent

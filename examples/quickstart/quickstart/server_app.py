"""The server: Flower's quickstart with `fedkd.strategies.DSFL` for a strategy."""

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from fedkd.distillation import Distiller
from fedkd.foundation.seeding import Streams
from fedkd.strategies import DSFL, Sampling
from fedkd.training import Fit, Optimizer
from quickstart.task import Net, accuracy, public_data, test_data

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    with Streams(0).initialising("server"):
        student = Net()
    test = test_data()

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        network = Net()
        network.load_state_dict(arrays.to_torch_state_dict())
        print(f"round {server_round}: accuracy {accuracy(network, test):.3f}", flush=True)
        return MetricRecord({"accuracy": accuracy(network, test)})

    strategy = DSFL(
        student=student,
        proxy=public_data(),
        distiller=Distiller(fit=Fit(epochs=20, optimizer=Optimizer(lr=0.1, momentum=0.9))),
        sampling=Sampling(num_clients=int(context.run_config["num-clients"])),
    )
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(student.state_dict()),
        num_rounds=int(context.run_config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )
    for failure in strategy.failures:
        print(f"client {failure.client} was left out of the last round: {failure.reason}", flush=True)

"""Where runs take place; Ray's part is in the journeys on a real cluster."""

import subprocess
import sys

from small_specs import spec_of, write_files

from tradewind.algorithms.catalogue import LEARNERS
from tradewind.providers.local import LocalProvider
from tradewind.providers.simulated import SimulatedProvider
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.session.places import WARM, Places, cluster_of, market_for, warm_for


def places(folder, **changes):
    write_files(folder)
    spec = spec_of(folder, **changes)
    market, start = market_for(spec.provider, spec.runtime)
    return Places(spec.provider, spec.runtime, warm_for(spec.learner.kind), market, folder), start


def test_the_cluster_is_named_by_the_runtime():
    assert cluster_of("processes") is None
    assert cluster_of("ray") == "auto"
    assert cluster_of("ray:10.0.0.1:6379") == "10.0.0.1:6379"


def test_a_local_run_is_of_processes_of_this_machine(tmp_path):
    found, start = places(tmp_path)
    assert found.real
    assert isinstance(found.provider(), LocalProvider)
    assert isinstance(found.runtime(), ProcessRuntime)
    assert found.address(tmp_path) == f"ipc://{tmp_path / 'state'}"
    real, simulated = found.told(start)
    assert "processes of this machine" in real[0]
    assert any("nobody was paid" in each for each in simulated)


def test_a_simulated_run_has_nothing_real(tmp_path):
    found, start = places(tmp_path, provider={"kind": "simulated", "history": str(tmp_path / "prices.csv")})
    assert not found.real
    assert isinstance(found.provider(), SimulatedProvider)
    real, simulated = found.told(start)
    assert real == ()
    assert "2020-02-01" in simulated[0]


def test_our_learners_are_imported_while_an_instance_boots_and_a_users_is_not():
    assert warm_for("RandomForestClassifier") == f"{WARM},tradewind.algorithms.random_forest"
    assert warm_for("my_model:Net") == WARM


def test_no_learner_of_ours_starts_a_thread_when_it_is_imported():
    """Else the instance could not fork its tasks."""
    homes = sorted({home.partition(":")[0] for home in LEARNERS.values()})
    program = (
        f"import importlib, threading; [importlib.import_module(each) for each in {homes}]; "
        "print(threading.active_count())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1"

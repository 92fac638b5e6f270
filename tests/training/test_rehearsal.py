"""What an instance imports while it boots."""

import subprocess
import sys
import threading

from tradewind.training import rehearsal


def test_it_takes_the_path_of_a_worker_and_leaves_no_thread() -> None:
    """Tasks are forked afterwards: a thread would not survive."""
    before = threading.active_count()
    rehearsal.rehearse()
    assert threading.active_count() == before


def test_importing_it_loads_all_that_a_task_needs() -> None:
    program = (
        "import sys, threading, tradewind.training.rehearsal; "
        "loaded = set(sys.modules); import tradewind.training.worker, tradewind.training.state_host, "
        "tradewind.training.data_host; print(sorted(set(sys.modules) - loaded), threading.active_count())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "['tradewind.training.data_host'] 1"

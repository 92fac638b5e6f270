"""Make the list of TensorFlow's operators again from its wheel, which is read and neither run nor installed.

    python -m tradewind.data.model_files.formats.operator_making tensorflow_cpu-*.whl

Every operator has a function in `tensorflow/python/ops/gen_*.py`, which is generated from the operators
themselves. Taken are all but those of the files and the names below, each with its reason.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tradewind.data.durable_files import write_durably
from tradewind.errors import Misuse

TARGET = Path(__file__).with_name("tensorflow_operators.json")
_GENERATED = re.compile(r"tensorflow/python/ops/gen_(\w+)\.py")
_CALL = re.compile(r"_apply_op_helper\(\s*\"(\w+)\"")
_FILES = {
    "collective_ops": "talk to other machines",
    "debug_ops": "write what they see to an address",
    "decode_proto_ops": "read descriptions of messages from a file that they name",
    "encode_proto_ops": "read descriptions of messages from a file that they name",
    "filesystem_ops": "set up file systems",
    "io_ops": "read and write files",
    "nccl_ops": "talk to other machines",
    "script_ops": "call Python",
    "sendrecv_ops": "talk to other machines",
    "summary_ops": "write files",
    "tpu_ops": "configure and reach other machines",
    "tpu_partition_ops": "configure and reach other machines",
}
_NAMES = {
    "read or write files": """
        CacheDataset CacheDatasetV2 FixedLengthRecordDataset FixedLengthRecordDatasetV2
        TFRecordDataset TFRecordDatasetV2 TextLineDataset InitializeTableFromTextFile
        InitializeTableFromTextFileV2 PrintV2 CSVDataset CSVDatasetV2 DatasetToTFRecord
        ExperimentalCSVDataset ExperimentalDatasetToTFRecord ExperimentalLMDBDataset
        ExperimentalMatchingFilesDataset LMDBDataset ListSnapshotChunksDataset LoadDataset
        MatchingFilesDataset SaveDataset SaveDatasetV2 SnapshotChunkDataset SnapshotDataset
        SnapshotDatasetReader SnapshotDatasetV2 SnapshotNestedDatasetReader DistributedSave
        GenerateVocabRemapping LoadAndRemapMatrix RecordInput
    """,
    "open databases": """
        ExperimentalSqlDataset SqlDataset
    """,
    "talk to other machines": """
        RemoteCall DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4
        RegisterDataset RegisterDatasetV2
    """,
    "make a graph or an object of bytes that they are given": """
        DatasetFromGraph DeserializeIterator IteratorFromStringHandle IteratorFromStringHandleV2
        MultiDeviceIteratorFromStringHandle RewriteDataset
    """,
    "call a function when they are let go of": """
        GeneratorDataset
    """,
    "write to a summary": """
        BytesProducedStatsDataset ExperimentalBytesProducedStatsDataset
        ExperimentalLatencyStatsDataset ExperimentalSetStatsAggregatorDataset
        ExperimentalStatsAggregatorHandle ExperimentalStatsAggregatorSummary LatencyStatsDataset
        SetStatsAggregatorDataset StatsAggregatorHandle StatsAggregatorHandleV2
        StatsAggregatorSetSummaryWriter StatsAggregatorSummary
    """,
    "wait, or end the process": """
        Abort SleepDataset ExperimentalSleepDataset
    """,
}


def operators(wheel: Path) -> tuple[str, list[str]]:
    """The version of a wheel of TensorFlow, and its operators that models may hold, sorted.

    Misuse for what is no such wheel, and where a name that is left out does not exist in it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = {
                match[1]: set(_CALL.findall(archive.read(name).decode()))
                for name in archive.namelist()
                if (match := _GENERATED.fullmatch(name))
            }
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise Misuse(
            f"this is no wheel ({error})", source=str(wheel), fix="Give TensorFlow's wheel."
        ) from None
    every: set[str] = set().union(*found.values())
    refused = {name for names in _NAMES.values() for name in names.split()}
    missing = sorted(refused - every) + sorted(set(_FILES) - found.keys())
    if missing:
        raise Misuse(
            f"it has no {', '.join(missing[:3])}", source=str(wheel),
            fix="Give TensorFlow's wheel; if it is one, look where that went before you leave it out here.",
        )  # fmt: skip
    left = {name for file, names in found.items() if file in _FILES for name in names}
    return wheel.name.split("-")[1], sorted(every - left - refused)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the list, or with --check say whether it is what would be written; 1 if not."""
    parser = argparse.ArgumentParser(description="Make the list of TensorFlow's operators from its wheel.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    chosen = parser.parse_args(arguments)
    version, names = operators(chosen.wheel)
    told = json.loads(TARGET.read_text(encoding="utf-8"))
    made = {**told, "version": version, "operators": names}
    if chosen.check:
        added, gone = sorted(set(names) - set(told["operators"])), sorted(set(told["operators"]) - set(names))
        sys.stdout.write(f"{len(names):,} operators; new {added}, gone {gone}" + "\n")
        return int(made != told)
    write_durably(TARGET, (json.dumps(made, indent=0) + "\n").encode())
    sys.stdout.write(f"{TARGET}: {len(names):,} operators of TensorFlow {version}" + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

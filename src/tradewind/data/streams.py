"""The one way in for data: arrays, CSV, LIBSVM, Parquet, iterables, and streams that are never stored."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.json import encode
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.data.formats.delimited import parse_csv
from tradewind.data.formats.libsvm import parse_libsvm
from tradewind.data.formats.numerals import read_text, unpacked
from tradewind.data.formats.parquet import parse_parquet
from tradewind.data.formats.series_lines import parse_series
from tradewind.data.object_store import read_address
from tradewind.data.preparation import Preparation, prepared
from tradewind.data.schemas import encode_classes
from tradewind.data.splitting import Split, split_of
from tradewind.data.splitting import split as parted
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData, as_batch, check_rows
from tradewind.data.tables import Table, check_finite, concatenate
from tradewind.errors import Corrupt, Misuse, suggestion

FORMATS = ("auto", "csv", "libsvm", "parquet", "saved", "series")
"""What `format` may be; `saved` is a file that `StoredData.save` wrote."""
MISSING = ("refuse", "keep", "mean")
"""What `missing` may be."""
SAMPLES = {"adult": "adult.libsvm.gz", "adult.test": "adult.test.libsvm.gz"}
"""The data sets that the package carries; see data/samples/ATTRIBUTION.md."""
_SAMPLE_FEATURES = {"adult": 123, "adult.test": 123}
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "libsvm", ".libsvm": "libsvm", ".svm": "libsvm",
    ".svmlight": "libsvm", ".parquet": "parquet", ".pq": "parquet", ".safetensors": "saved",
    ".jsonl": "series",
}  # fmt: skip

_MOST_KEPT = 8
_memo: dict[str, StoredData] = {}
"""The files that this process has parsed, by path, version and options."""


def open_data(
    source: Any,
    labels: Any = None,
    *,
    format: str = "auto",
    label: str | int | None = "label",
    features: int | Sequence[str | int] | None = None,
    weight: str | int | None = None,
    weights: Any = None,
    classes: Sequence[str] | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    zero_based: bool = False,
    name: str = "",
    cache: str | os.PathLike[str] | None = None,
    missing: str = "refuse",
    categories: Sequence[str | int] = (),
    split: Split | Mapping[str, Any] | None = None,
    prepare: Any = None,
) -> StoredData | StreamedData:
    """Open a data set.

    `source` is one of
    - the path or address of a file (CSV, LIBSVM, Parquet, series in JSON Lines, plain or gzip; found by its
      name where `format` is auto), or `adult` or `adult.test`, which the package carries;
    - an array or scipy sparse matrix (n, d), with `labels` (n,) and `weights` (n,); (X, y); a Batch;
    - a list of rows (x, y) or of batches (X, y), which is kept in memory;
    - a callable that returns an iterator of such, which is opened again for each pass and never held;
    - any other iterable of such: a stream that passes once and is never stored.

    `label` and `weight` name columns of CSV and Parquet files (by name, or number from 0, negative from the
    end), `features` says how many features there are, or which columns they are. `classes` fixes what the
    labels 0, 1, ... of text stand for, as for a test set. `cache` is a directory where the parsed rows are
    kept, so that the next process maps them in a moment.

    `missing` says what a missing value is: `refuse` for an error that names row and column; `keep` for NaN,
    which only some learners take; `mean` for the mean of its column. A label or weight may not be missing.
    `categories` names columns of CSV and Parquet files that are text; each text becomes a number of its own,
    for a step that hashes it. `split` keeps the rows on one side, see `splitting.Split`, such as
    `{"test": 0.2, "side": "train"}`; its key may name a column that is not among `features`, which is then
    read as text. `prepare` makes the rows ready as they are read, see `preparation.prepared`, such as
    `["ColumnScaler"]`; the steps see the rows of the split, filled.

    Raises Misuse, naming file, line and column, before anything else is done with the data.
    """
    if missing not in MISSING:
        raise Misuse(f"{missing!r} is no way", field="missing", fix=suggestion(missing, MISSING))
    kept = None if cache is None else Path(cache)
    if split is not None and not isinstance(split, Split):
        split = split_of(split)
    beside = _key_beside(split, source, features)
    if beside:
        features, categories = [*features, *beside], [*categories, *beside]  # type: ignore[misc]
    try:
        data = _opened(
            source, labels, format, label, features, weight, weights, classes, header, delimiter, zero_based,
            name, kept, missing != "refuse", tuple(categories),
        )  # fmt: skip
    except Misuse as problem:
        if beside and problem.field == "features" and repr(beside[0]) in str(problem):
            raise Misuse(
                f"there is no column {beside[0]!r}", source=problem.source, field="split.key", fix=problem.fix
            ) from None
        raise
    if split is not None:
        data = _side(data, split, kept, len(beside))
    return made_ready(data, missing=missing, prepare=prepare, cache=cache)


def made_ready(
    data: StoredData | StreamedData,
    *,
    missing: str = "refuse",
    split: Split | Mapping[str, Any] | None = None,
    prepare: Any = None,
    cache: str | os.PathLike[str] | None = None,
) -> StoredData | StreamedData:
    """Data that is open already, with what `open_data` does to its rows: the split, the means, the steps."""
    kept = None if cache is None else Path(cache)
    if split is not None:
        data = _side(data, split if isinstance(split, Split) else split_of(split), kept)
    if missing == "mean":
        if isinstance(prepare, Preparation | str | Path):
            raise Misuse(
                "a preparation that is fitted fills what it fills", field="missing",
                fix="Give missing='keep': the means are among its steps.",
            )  # fmt: skip
        prepare = ["Imputer", *(prepare or ())]
    return data if prepare is None else prepared(data, prepare, kept)


def _key_beside(split: Split | None, source: Any, features: Any) -> list[str]:
    """The key of a split where it is a column of a file, and not among the features asked for."""
    if split is None or not isinstance(split.key, str) or not isinstance(source, str | os.PathLike):
        return []
    named = isinstance(features, Sequence) and not isinstance(features, str)
    return [split.key] if named and split.key not in features else []


def _side(
    data: StoredData | StreamedData, split: Split, cache: Path | None, beside: int = 0
) -> StoredData | StreamedData:
    """The rows on one side; of stored rows a copy in `cache`, which the processes of a machine share.

    The last `beside` columns were read for the split alone, and go.
    """
    split.check()
    if isinstance(data, StreamedData):
        return parted(data, split)
    known = hashlib.blake2b(data.digest().encode() + encode([split, beside]), digest_size=16)
    kept = None if cache is None else cache / f"side-{known.hexdigest()}.safetensors"
    if kept is not None:
        try:
            return StoredData.load(kept)
        except Corrupt:
            pass  # there is none, or a damaged one: a cache is only a cache
    found = parted(data, split)
    assert isinstance(found, StoredData)
    if beside:
        found = StoredData(_without_last(found.table, beside))
    if kept is None:
        return found
    found.save(kept)
    return StoredData.load(kept)


def _without_last(table: Table, count: int) -> Table:
    whole = table.batch
    assert whole.dense is not None
    rows = np.ascontiguousarray(whole.dense[:, :-count])
    batch = batch_of(rows, whole.labels, whole.weights)
    return Table(table.name, batch, table.columns[:-count], table.classes, table.lines)


def _opened(
    source: Any,
    labels: Any,
    format: str,
    label: str | int | None,
    features: int | Sequence[str | int] | None,
    weight: str | int | None,
    weights: Any,
    classes: Sequence[str] | None,
    header: bool | None,
    delimiter: str | None,
    zero_based: bool,
    name: str,
    cache: Path | None,
    gaps: bool,
    categories: tuple[str | int, ...],
) -> StoredData | StreamedData:
    """What `open_data` opens, as it is there."""
    if format not in FORMATS:
        raise Misuse(f"{format!r} is no format", field="format", fix=suggestion(format, FORMATS))
    kinds = None if classes is None else tuple(classes)
    if isinstance(source, str | os.PathLike):
        if labels is not None or weights is not None:
            raise Misuse(
                "labels= and weights= go with arrays", source=str(source), field="labels",
                fix="Name the columns of a file with label= and weight=.",
            )  # fmt: skip
        options = {
            "label": label, "features": features if isinstance(features, int | None) else list(features),
            "weight": weight, "classes": kinds, "header": header, "delimiter": delimiter,
            "zero_based": zero_based, "gaps": gaps, "categories": categories,
        }  # fmt: skip
        return _open_file(os.fspath(source), format, options, name, cache)
    if categories:
        raise Misuse(
            "categories= goes with files", field="categories", fix="Hash text with FeatureHashing.transform."
        )
    count = features if isinstance(features, int) else None
    if isinstance(source, tuple) and len(source) in (2, 3) and labels is None:
        source, labels, weights = (*source, weights)[:3]
    if isinstance(source, Batch):
        return _in_memory(source.matrix(), source.labels, source.weights, name or "batch", kinds, count, gaps)
    if hasattr(source, "tocsr") or hasattr(source, "__array__"):
        return _in_memory(source, labels, weights, name or "X", kinds, count, gaps)
    if callable(source) or (isinstance(source, Iterable) and not isinstance(source, Sequence)):
        data = StreamedData(source, name or "stream", gaps=gaps)
        _check_count(data.schema.features, count, data.name)
        return data
    if isinstance(source, Sequence):
        if labels is not None:
            return _in_memory(np.asarray(source), labels, weights, name or "X", kinds, count, gaps)
        batches, schema, seen = [], None, 0
        for item in source:
            batch = as_batch(item, name or "rows", None if schema is None else schema.labelled)
            schema = check_rows(batch, name or "rows", schema, seen, gaps)
            seen += len(batch)
            batches.append(batch)
        if not seen:
            raise Misuse("there are no rows", source=name or "rows", fix="Give a list with rows.")
        whole = concatenate(batches)
        return _in_memory(whole.matrix(), whole.labels, whole.weights, name or "rows", kinds, count, gaps)
    raise Misuse(
        f"{type(source).__name__} is no source of data", field="source",
        fix="Give a path, an array, (X, y), or an iterable of rows or batches.",
    )  # fmt: skip


def _in_memory(
    features: Any,
    labels: Any,
    weights: Any,
    name: str,
    classes: tuple[str, ...] | None,
    count: int | None,
    gaps: bool,
) -> StoredData:
    columns = tuple(str(column) for column in getattr(features, "columns", ()))
    if not hasattr(features, "tocsr") and np.ndim(features) != 2:
        raise Misuse(
            f"an array of {np.ndim(features)} dimensions", source=name, field="X", fix="Give an array (n, d)."
        )
    batch = as_batch(features, name, False)
    rows = len(batch)
    if not rows:
        raise Misuse("there are no rows", source=name, fix="Give an array with rows.")
    kinds: tuple[str, ...] = ()
    kept: NDArray[Any] | None = None
    if labels is not None:
        kept = np.asarray(labels)
        if kept.shape != (rows,):
            raise Misuse(
                f"shape {kept.shape} for {rows} rows",
                source=name,
                field="y",
                fix="Give one label for each row.",
            )
        if kept.dtype.kind in "iub":
            kept = kept.astype(np.float64)
        elif kept.dtype.kind in "OUS":
            kept, kinds = encode_classes(kept.astype(np.str_), classes, name, lambda row: f"row {row}")
    carried = None
    if weights is not None:
        carried = np.asarray(weights, np.float32)
        if carried.shape != (rows,) or not (carried >= 0).all():
            raise Misuse(
                "no weights", source=name, field="weights", fix="Give one, not negative, for each row."
            )
    _check_count(batch.features, count, name)
    whole = batch_of(batch.matrix(), kept, carried)
    check_finite(whole, name, columns, gaps=gaps)
    return StoredData(Table(name, whole, columns, kinds))


def _check_count(found: int, stated: int | None, name: str) -> None:
    if stated is not None and found != stated:
        raise Misuse(
            f"there are {found} features, not {stated}",
            source=name,
            field="features",
            fix="Give the right number.",
        )


def _open_file(
    source: str, format: str, options: dict[str, Any], name: str, cache: Path | None
) -> StoredData:
    if source in SAMPLES and not os.path.exists(source):
        content = resources.files("tradewind.data").joinpath("samples", SAMPLES[source]).read_bytes()
        if options["features"] is None:
            options["features"] = _SAMPLE_FEATURES[source]
        version, shown, format = f"sample {hashlib.blake2b(content).hexdigest()}", source, "libsvm"
        read: Callable[[], bytes] = lambda: unpacked(content, source)  # noqa: E731
    elif "://" in source:
        shown = source
        raw = read_address(source)
        version = hashlib.blake2b(raw).hexdigest()
        format = format if format != "auto" else _format_of(source, lambda: raw)
        read = lambda: raw if format == "parquet" else unpacked(raw, source)  # noqa: E731
    else:
        path = Path(source)
        shown = source
        try:
            status = path.stat()
        except FileNotFoundError:
            beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
            raise Misuse(
                "there is no such file", source=source,
                fix=suggestion(path.name, [*beside[:500], *SAMPLES]) if beside else "Check the path.",
            ) from None  # fmt: skip
        except OSError as error:
            raise Misuse(error.strerror or str(error), source=source, fix="Give a readable file.") from None
        if path.is_dir():
            raise Misuse("this is a directory", source=source, fix="Give a file in it.")
        if format == "auto":
            format = _format_of(source, path.read_bytes)
        if format == "saved":
            try:
                return StoredData.load(path)
            except Corrupt as error:
                raise Misuse(str(error), fix="Save the data again.") from None
        version = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
        read = lambda: path.read_bytes() if format == "parquet" else read_text(path)  # noqa: E731
    key = hashlib.blake2b(
        json.dumps([version, format, options, name], sort_keys=True).encode(), digest_size=16
    ).hexdigest()
    kept = None if cache is None else cache / f"data-{key}.safetensors"
    if key in _memo:
        if kept is not None and not kept.exists():
            _memo[key].save(kept)
        return _memo[key]
    if kept is not None and kept.exists():
        try:
            _memo[key] = StoredData.load(kept)
            return _memo[key]
        except Corrupt:
            kept.unlink(missing_ok=True)  # a damaged cache is only a cache: parse again
    data = StoredData(_parse(read(), name or shown, format, options, source))
    if kept is not None:
        data.save(kept)
    while len(_memo) >= _MOST_KEPT:
        del _memo[next(iter(_memo))]
    _memo[key] = data
    return data


def _parse(text: bytes, name: str, format: str, options: dict[str, Any], source: str) -> Table:
    features, classes = options["features"], options["classes"]
    if format == "libsvm":
        if not isinstance(features, int | None):
            raise Misuse(
                "LIBSVM columns have no names", source=name, field="features", fix="Give how many there are."
            )
        if options["categories"]:
            raise Misuse(
                "LIBSVM has no columns of text", source=name, field="categories", fix="Leave it out."
            )
        return parse_libsvm(
            text, name, features=features, zero_based=options["zero_based"], classes=classes,
            gaps=options["gaps"],
        )  # fmt: skip
    if format == "series":
        if options["categories"]:
            raise Misuse("series have no columns", source=name, field="categories", fix="Leave it out.")
        if not isinstance(features, int | None):
            raise Misuse(
                "series have no columns", source=name, field="features", fix="Give how many columns to make."
            )
        return parse_series(text, name, features=features)
    columns: dict[str, Any] = {key: options[key] for key in ("label", "weight", "gaps", "categories")}
    if format == "parquet":
        return parse_parquet(text, name, features=features, classes=classes, **columns)
    tabs = source.removesuffix(".gz").endswith(".tsv")
    delimiter = options["delimiter"] or ("\t" if tabs else ",")
    return parse_csv(
        text,
        name,
        features=features,
        classes=classes,
        header=options["header"],
        delimiter=delimiter,
        **columns,
    )


def _format_of(source: str, read: Callable[[], bytes]) -> str:
    """The format that a file's name says, or else its content."""
    suffix = Path(source.removesuffix(".gz")).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    content = read()
    if content[:4] == b"PAR1":
        return "parquet"
    if content[:2] == b"\x1f\x8b":
        content = unpacked(content, source)
    for line in content[:65536].splitlines():
        cells = line.split(b"#")[0].split()
        if len(cells) > 1:
            return "libsvm" if re.fullmatch(rb"\d+:\S+", cells[1]) else "csv"
        if b"," in line:
            return "csv"
    raise Misuse(
        "neither the name nor the content says what the format is", source=source, field="format",
        fix=f"Give format= as one of {', '.join(FORMATS[1:])}.",
    )  # fmt: skip

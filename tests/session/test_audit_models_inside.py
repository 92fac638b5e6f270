"""Models that an image carries are judged; what packages brought is not."""

import pickle
from collections import OrderedDict

from tradewind.audit.images.opening import open_files
from tradewind.audit.inventory.taking import take_inventory
from tradewind.session.audit.models_inside import models_in
from tradewind.testing.images import small_root


class Harm:
    def __reduce__(self):
        return (print, ("harm",))


def test_unowned_models_are_judged(tmp_path):
    root = small_root(tmp_path / "root")
    (root / "srv/good.pkl").write_bytes(pickle.dumps(OrderedDict(a=1)))
    (root / "srv/BAD.PKL").write_bytes(pickle.dumps(Harm()))
    (root / "srv/empty.pt").touch()
    owned = root / "usr/share/demo/data.txt"
    owned.write_bytes(pickle.dumps(Harm()))
    with open_files(root) as image:
        scans = models_in(image.files, take_inventory(image.files))
    assert {scan.path: scan.verdict for scan in scans} == {"srv/BAD.PKL": "blocked", "srv/good.pkl": "clean"}

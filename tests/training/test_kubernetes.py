"""docs/kubernetes-job.yaml: its schema, where the checker is installed, and the shell that makes TF_CONFIG."""

import os
import subprocess
import textwrap

import pytest

from keras_dcgan.training import cluster
from tests.conftest import LIMIT, ROOT

MANIFEST = ROOT / "docs" / "kubernetes-job.yaml"


@pytest.mark.parametrize("version", ["1.28", "1.32"])
def test_the_manifest_conforms_to_kubernetes_schemas(version):
    checker = pytest.importorskip("kubernetes_validate", reason="100 MB of schemas: pip install kubernetes-validate")
    import yaml

    documents = list(yaml.safe_load_all(MANIFEST.read_text()))
    assert [document["kind"] for document in documents] == ["Service", "Job"]
    for document in documents:
        checker.validate(document, version, strict=True)


def test_every_pod_knows_which_worker_it_is():
    text = MANIFEST.read_text()
    script = textwrap.dedent(text[text.index("              # TF_CONFIG begins") : text.index("# TF_CONFIG ends")])
    for index in range(3):
        environment = {**os.environ, "WORKERS": "3", "JOB_COMPLETION_INDEX": str(index)}
        config = subprocess.run(
            ["sh", "-c", f'{script}\nprintf %s "$TF_CONFIG"'],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        ).stdout
        assert all(f'"dcgan-{i}.dcgan:2222"' in config for i in range(3))
        found = cluster.member({"TF_CONFIG": config})
        assert (found.index, found.count) == (index, 3)

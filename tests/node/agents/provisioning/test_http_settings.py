"""The HTTP adapter's file: what it says becomes the adapter, and each mistake is named."""

from __future__ import annotations

import pytest

from node.agents.provisioning import Activated, Pending, ProvisioningBroken, tmf
from node.agents.provisioning.http import HttpProvisioning
from node.agents.provisioning.http_settings import FILE_BYTES_MAX, connect
from node.agents.settings import load_provisioning
from node.configuration import AgentsSection, ConfigurationWrong
from tests.node.agents.provisioning.elements import NOW_MS, Clock, uni
from tests.node.agents.provisioning.stub import Authority, Stub
from tests.node.agents.provisioning.test_http import decide

CA = 'ca_certificates = "operator.pem"\n'


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "operator")


async def test_a_file_makes_an_adapter_that_shows_its_certificate(tmp_path, authority):
    own = authority.issue("client")
    stub = Stub(decide)
    async with stub.running(authority.issue("server"), client_ca=authority.path) as url:
        path = tmp_path / "provisioning.toml"
        path.write_text(f'url = "{url}"\n{CA}certificate = "{own.certificate.name}"\nkey = "{own.key.name}"\n')
        assert await connect(path, Clock()).activate("a", "svc-7", uni()) == Activated()


async def test_a_chain_is_tested_by_the_specification_that_the_file_names(tmp_path, authority):
    stub = Stub(decide)
    async with stub.running(authority.issue("server")) as url:
        path = tmp_path / "provisioning.toml"
        path.write_text(f'url = "{url}"\n{CA}test_specification = "y.1564"\n')
        assert (await connect(path, Clock()).measure("m", ("r-1",), "o")).passed
    assert stub.made[tmf.TESTS][0]["testSpecification"] == {"id": "y.1564"}


async def test_pauses_are_those_of_the_file(tmp_path, authority):
    path = tmp_path / "provisioning.toml"
    path.write_text(f'url = "https://127.0.0.1:1"\n{CA}first_pause_ms = 1000\nlongest_pause_ms = 10\n')
    adapter = connect(path, Clock())
    for _ in range(20):
        answer = await adapter.activate("a", "svc-7", uni())
        assert isinstance(answer, Pending)
        assert NOW_MS + 500 <= answer.again_at_ms <= NOW_MS + 1_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url = ", "not TOML"),
        (CA, "url: Field required"),
        ('url = "https://host"\n', "ca_certificates: Field required"),
        (f'url = "http://host"\n{CA}', "give https://"),
        (f'url = "https://host"\n{CA}key = "k.pem"\n', "key: give it with certificate"),
        (f'url = "https://host"\n{CA}timeout_ms = 1\n', "timeout_ms"),
        (f'url = "https://host"\n{CA}user = "me"\n', "user: Extra inputs"),
        ('url = "https://host"\nca_certificates = "missing.pem"\n', "can't be used"),
        ("#" * (FILE_BYTES_MAX + 1), "at most"),
    ],
)
def test_invalid_files_name_the_mistake(tmp_path, authority, text, says):
    path = tmp_path / "provisioning.toml"
    path.write_text(text)
    with pytest.raises(ProvisioningBroken) as refused:
        connect(path, Clock())
    assert says in str(refused.value)


def test_invalid_file_that_is_not_there(tmp_path):
    with pytest.raises(ProvisioningBroken, match="can't be read"):
        connect(tmp_path / "missing.toml", Clock())


def test_a_configuration_chooses_it(tmp_path, authority):
    path = tmp_path / "provisioning.toml"
    path.write_text(f'url = "https://127.0.0.1:1"\n{CA}')
    agents = AgentsSection(provisioning="http", provisioning_file=path)
    assert isinstance(load_provisioning(agents, tmp_path / "agents", Clock()), HttpProvisioning)
    assert not (tmp_path / "agents").exists()
    path.write_text("url = 1")
    with pytest.raises(ConfigurationWrong, match=r"agents\.provisioning_file: url"):
        load_provisioning(agents, tmp_path / "agents", Clock())

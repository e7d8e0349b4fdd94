"""docs/configuration.md: every setting of a node and of the command line."""

from __future__ import annotations

from typing import Any

from node.configuration import CONFIG_VARIABLE, DEFAULT_FILE, ENVIRONMENT_PREFIX, SECTIONS
from scripts.docpages.layout import first_sentence, heading, table, text

_EXAMPLE = """\
    [node]
    organization = "org_7vq3..."
    name = "alpha"
    data_dir = "data"
    grpc_address = "10.0.0.5:7400"

    [tls]
    ca_certificate = "ca/ca.pem"
    certificate = "tls/node.pem"
    key = "tls/node.key"

    [ledgers.acme-alpha]
    ledger_id = "sg_k2cw..."
    genesis = "acme-alpha.genesis.json"
    p2p_address = "10.0.0.5:26656"
    pace = "hot"
    validator = true
    peers = ["4f2a...@10.0.1.9:26656", "91be...@10.0.2.2:26656", "c07d...@10.0.3.7:26656"]

    [client]
    node = "10.0.0.5:7400"
    ca_certificate = "ca/ca.pem"
    certificate = "people/sales.pem"
    key = "people/sales.key"
    signer = "org_7vq3.../mbr_a4g6..."
    signing_key = "people/sales.signing.key"
"""


def configuration_page() -> str:
    """docs/configuration.md."""
    lines = heading(
        "Configuration",
        f"One TOML file a node; the command line reads its section `client` from the same file or one of its own. It is the file of `--config`, else of the"
        f" environment variable `{CONFIG_VARIABLE}`, else `{DEFAULT_FILE}` in the working directory.",
    )
    lines += [
        (
            "A value is taken from the flag `--set section.key=value`, else from the environment, else from the file, else it is the default. The environment"
            f" variable of `log.level` is `{ENVIRONMENT_PREFIX}LOG_LEVEL`, that of `ledgers.acme-alpha.pace` is"
            f" `{ENVIRONMENT_PREFIX}LEDGERS_ACME_ALPHA_PACE` (the ledger must be in the file); numbers, truth values and lists are written as in TOML. An unknown"
            " key is refused wherever it stands. Paths are relative to the file."
        ),
        "",
        (
            "No value is a secret. A secret is a file of mode 0600 (or 0400) that belongs to the user who runs the node, and its setting is the path; a file that"
            " others may read is refused. `syngraph config check` looks at all of it, and `syngraph config show` shows each value and where it comes from."
        ),
        "",
        _EXAMPLE.rstrip("\n"),
        "",
    ]
    for name, section in SECTIONS:
        lines += [f"## {name}", "", first_sentence(section.__doc__), ""]
        rows = ((f"`{key}`", _default(field), field.description or "") for key, field in section.model_fields.items())
        lines += table(("key", "default", "meaning"), rows)
    return text(lines)


def _default(field: Any) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None or value == "":
        return "none"
    return "`[]`" if value == () else f"`{value}`"

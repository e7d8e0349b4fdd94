"""The wheel's build hook: compiles the pinned engine and generates the message classes (docs/decisions/packaging.md)."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EngineBuildHook(BuildHookInterface[Any]):
    """Adds the engine and the generated packages to a wheel; an editable install finds them where they were made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; `version` is "standard" or "editable"."""
        sys.path.insert(0, self.root)
        from node.engine import build, generate, progress

        try:
            entry = build.ensure()
            generated = generate.generate(Path(self.root))
        except progress.BuildFailed as error:
            self.app.abort(f"Syngraph was not installed.\n{error}")
        if version == "editable":
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        for name in ("cometbft", "build.json"):
            build_data["force_include"][str(entry / name)] = f"node/engine/bin/{name}"
        for package in generate.GENERATED_PACKAGES:
            build_data["force_include"][str(generated / package)] = package

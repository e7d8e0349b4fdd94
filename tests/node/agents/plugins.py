"""Plug-ins for the policies, good and bad."""

from node.agents.policies import Policies


class Cautious(Policies):
    def take_late_quote(self, part, quote, now_ms, respond_by_ms):
        return False


class Stubborn(Policies):
    def __init__(self, settings):
        raise RuntimeError("no licence found")


class Unrelated:
    pass


function = len

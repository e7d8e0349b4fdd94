"""Golden vectors of governance: the same commands give the same codes, ids and bytes for ever.

A change that turns this red is a new contracts version, unless no ledger was ever started with the old one. To record anew:
`python -m tests.smartcontracts.test_vectors`.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from smartcontracts import agreement, omni, proposal
from smartcontracts import membership as m
from smartcontracts.kernel import Position, Rejected
from smartcontracts.parameters import Parameters, SetParameters
from smartcontracts.proposal import PROPOSAL, AcceptProposal, DeclineProposal, Propose, WithdrawProposal, act_of
from tests.smartcontracts.support import MemoryLedger, member, org, organization_record, public_key
from tests.smartcontracts.test_agreement import TERMS
from tests.smartcontracts.test_omni import REGISTRATION, SCORE

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "contracts"


class Story:
    """A ledger whose every answer is written down."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.lines = []

    def tell(self, message, command, by, role="administrator", *others, at=None):
        sender = self.ledger.sender(by, role)
        signers = (sender, *(self.ledger.sender(name, role) for name in others))
        try:
            outcome = self.ledger.run(message, command, sender=sender, signers=signers, at=at)
            answer = [event.name for event in outcome.events]
        except Rejected as refusal:
            answer = [f"{refusal.code} {refusal.refusal_name()} {refusal.field}"]
        self.lines.append([message, by, *answer, self.ledger.root()])

    def propose(self, name, command, by, *others, role="administrator", at=None):
        self.tell("propose", Propose(act=act_of(name, command), valid_for_ms=20_000), by, role, *others, at=at)
        return max(self.ledger.all(PROPOSAL), key=lambda found: found.valid_until_ms, default=None)

    def accept(self, found, by, role="administrator"):
        self.tell("accept_proposal", AcceptProposal(proposal_id=found.id, act_sha256=found.act_sha256), by, role)


def governance():
    story = Story(MemoryLedger.bilateral(proposal.CONTRACT, agreement.CONTRACT))
    key = public_key("acme", "newcomer")
    story.tell("add_member", m.AddMember(public_key=key, roles=("administrator",)), "acme")
    story.tell("add_member", m.AddMember(public_key=key, roles=("sof",)), "alpha")
    story.tell("add_member", m.AddMember(public_key=bytes(32), roles=("sof",)), "alpha")
    story.tell("revoke_member", m.RevokeMember(member_id=member("alpha", "administrator")), "alpha")
    story.tell("revoke_member", m.RevokeMember(member_id=member("acme", "administrator")), "acme")
    story.tell("set_member_roles", m.SetMemberRoles(member_id=member("alpha", "sof"), roles=("sco", "sof")), "alpha")
    story.tell("set_node_ids", m.SetNodeIds(node_ids=("0" * 40, "f" * 40)), "north")
    story.tell("set_node_ids", m.SetNodeIds(node_ids=("0" * 40,)), "south")
    opened = story.propose("agreement_terms", TERMS, "acme")
    story.accept(replace(opened, act_sha256=bytes(32)), "alpha")
    story.accept(opened, "north")
    story.accept(opened, "alpha", "finance")
    story.accept(opened, "alpha")
    amended = story.propose("agreement_terms", replace(TERMS, netting=False, replaces_version=1), "alpha")
    story.tell("decline_proposal", DeclineProposal(proposal_id=amended.id), "acme")
    changed = replace(Parameters(), items_max=5)
    lapsing = story.propose("set_parameters", SetParameters(parameters=changed), "alpha")
    story.tell("set_node_ids", m.SetNodeIds(node_ids=()), "north", at=lapsing.valid_until_ms + 1)
    story.accept(lapsing, "acme")
    story.propose("set_parameters", SetParameters(parameters=changed), "alpha", "acme")
    story.propose("remove_organization", m.RemoveOrganization(organization_id=org("ofcom")), "acme", "alpha")
    again = m.AdmitOrganization(organization=organization_record("ofcom", Position.OBSERVER))
    taken_back = story.propose("admit_organization", again, "acme")
    story.tell("withdraw_proposal", WithdrawProposal(proposal_id=taken_back.id), "acme")
    story.propose("admit_organization", again, "alpha", "acme")
    return story.lines


def ecosystem():
    story = Story(MemoryLedger.omni(proposal.CONTRACT, omni.CONTRACT))
    story.propose("publish_score", SCORE, "bravo", "alpha")
    opened = story.propose("register_ledger", REGISTRATION, "alpha")
    story.accept(opened, "bravo")
    for command in (
        SCORE,
        replace(SCORE, text="8.9:133"),
        SCORE,
        replace(SCORE, height=41, tenths=100, text="10.0:132"),
    ):
        story.propose("publish_score", command, "bravo", "alpha", role="s_bus")
    alone = story.propose("publish_score", replace(SCORE, seller=org("alpha"), tenths=0, text="0.0:132"), "alpha")
    story.accept(alone, "north")
    story.accept(alone, "bravo")
    return story.lines


STORIES = {"governance": governance, "ecosystem": ecosystem}


@pytest.mark.golden
@pytest.mark.parametrize("name", STORIES)
def test_the_same_commands_give_the_same_codes_and_bytes(name):
    recorded = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for number, (told, line) in enumerate(zip(STORIES[name](), recorded, strict=True)):
        assert told == line, f"line {number + 1}"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for title, story in STORIES.items():
        lines = ",\n".join(json.dumps(line) for line in story())
        (FOLDER / f"{title}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")

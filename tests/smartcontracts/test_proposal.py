"""Proposals: a joint act takes effect when all have accepted what they saw in time, and never by one signature."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smartcontracts import codec
from smartcontracts import proposal as p
from smartcontracts.kernel import (
    ActType,
    Cause,
    Contract,
    Event,
    Outcome,
    Position,
    PositionWrong,
    Rejected,
    Role,
    RoleMissing,
    WrongStatus,
)
from smartcontracts.membership import MEMBER, ORGANIZATION, Member, RemoveOrganization, governors
from smartcontracts.parameters import (
    RULES,
    ParameterOutOfBounds,
    Parameters,
    SetParameters,
    WindowOutOfBounds,
)
from tests.smartcontracts.support import START_MS, MemoryLedger, member, member_record, org

DEFAULTS = Parameters()
CHANGED = replace(DEFAULTS, items_max=7)
WINDOW = 60_000
OPENED = START_MS + 1
ENDS = OPENED + WINDOW


def ledger_of(*contracts):
    return MemoryLedger.bilateral(p.CONTRACT, *contracts)


def propose(ledger, *, by="acme", role="administrator", signers=(), at=OPENED, cause=None, **change):
    act = change.get("act", p.act_of("set_parameters", SetParameters(parameters=CHANGED)))
    command = p.Propose(act=act, valid_for_ms=change.get("valid_for_ms", WINDOW))
    sender = ledger.sender(by, role)
    ledger.run("propose", command, sender=sender, signers=signers and (sender, *signers), at=at, cause=cause)
    return max(ledger.all(p.PROPOSAL), key=lambda found: found.valid_until_ms)


PROPOSE_REFUSALS = [
    (p.ActNotOffered, {"act": p.Act(name="final_invoice", data=b"")}),
    (codec.FieldMissing, {"act": p.Act(name="set_parameters", data=b"")}),
    (PositionWrong, {"by": "north"}),
    (RoleMissing, {"role": "finance"}),
    (WindowOutOfBounds, {"valid_for_ms": DEFAULTS.window_min_ms - 1}),
    (WindowOutOfBounds, {"valid_for_ms": DEFAULTS.proposal_window_max_ms + 1}),
    (WindowOutOfBounds, {"valid_for_ms": 0}),
    (
        ParameterOutOfBounds,
        {"act": p.act_of("set_parameters", SetParameters(parameters=replace(DEFAULTS, items_max=0)))},
    ),
]


@pytest.mark.parametrize("first", range(len(PROPOSE_REFUSALS)))
def test_invalid_proposals_are_answered_with_the_first_failing_check(first):
    ledger = ledger_of()
    before = ledger.root()
    broken = {}
    for _, change in reversed(PROPOSE_REFUSALS[first:]):
        broken |= change
    with pytest.raises(PROPOSE_REFUSALS[first][0]):
        propose(ledger, **broken)
    assert ledger.root() == before


def test_a_refusal_of_the_acts_own_field_says_where_in_the_act_it_is():
    data = codec.encode(SetParameters(parameters=CHANGED)) + b"\x18\x01"
    with pytest.raises(codec.BytesMalformed):
        propose(ledger_of(), act=p.Act(name="set_parameters", data=data))
    with pytest.raises(codec.FieldMissing) as caught:
        propose(ledger_of(), act=p.Act(name="set_parameters", data=b""))
    assert caught.value.field == "act.set_parameters.parameters"


@pytest.mark.parametrize("valid_for_ms", [DEFAULTS.window_min_ms, DEFAULTS.proposal_window_max_ms])
def test_windows_at_their_bounds_are_taken(valid_for_ms):
    assert propose(ledger_of(), valid_for_ms=valid_for_ms).valid_until_ms == OPENED + valid_for_ms


def test_a_lone_signature_changes_nothing_but_the_proposal():
    ledger = ledger_of()
    rules = ledger.the(RULES)
    opened = propose(ledger)
    assert opened.status == p.ProposalStatus.OPEN
    assert opened.required == tuple(sorted((org("acme"), org("alpha"))))
    assert opened.accepted_by == (f"{org('acme')}/{member('acme', 'administrator')}",)
    assert opened.act_sha256 == p.sha256_of(opened.act)
    assert codec.decode(p.Act, opened.act) == p.act_of("set_parameters", SetParameters(parameters=CHANGED))
    assert ledger.the(RULES) == rules
    assert ledger.event_names() == ["proposal.opened"]


GOOD_ANSWER = {"by": "alpha", "role": "administrator", "at": ENDS, "sha": None, "proposal_id": None, "closed": False}
ANSWER_REFUSALS = [
    (p.ProposalUnknown, {"proposal_id": "prp_unheard"}),
    (WrongStatus, {"closed": True}),
    (PositionWrong, {"by": "north"}),
    (RoleMissing, {"role": "finance"}),
]
ACCEPT_REFUSALS = [
    *ANSWER_REFUSALS,
    (p.ActChanged, {"sha": bytes(32)}),
    (p.ActChanged, {"sha": b""}),
    (p.AcceptedBefore, {"by": "acme"}),
]


def answer(message, by, role, at, sha, proposal_id, closed):
    ledger = ledger_of()
    opened = propose(ledger)
    if closed:
        ledger.run(
            "withdraw_proposal",
            p.WithdrawProposal(proposal_id=opened.id),
            sender=ledger.sender("acme", "administrator"),
        )
    before = ledger.root()
    named = {"proposal_id": proposal_id or opened.id}
    if message == "accept_proposal":
        command = p.AcceptProposal(**named, act_sha256=opened.act_sha256 if sha is None else sha)
    else:
        command = {"decline_proposal": p.DeclineProposal, "withdraw_proposal": p.WithdrawProposal}[message](**named)
    try:
        ledger.run(message, command, sender=ledger.sender(by, role), at=at)
    except Rejected:
        assert ledger.root() == before or ledger.fired
        raise
    return ledger


@pytest.mark.parametrize("first", range(len(ACCEPT_REFUSALS)))
def test_invalid_acceptances_are_answered_with_the_first_failing_check(first):
    broken = dict(GOOD_ANSWER)
    for _, change in reversed(ACCEPT_REFUSALS[first:]):
        broken |= change
    with pytest.raises(ACCEPT_REFUSALS[first][0]):
        answer("accept_proposal", **broken)


DECLINE_REFUSALS = [*ANSWER_REFUSALS, (p.NotTheProposer, {"by": "acme"})]
WITHDRAW_REFUSALS = [*ANSWER_REFUSALS, (p.NotTheProposer, {"by": "alpha"})]


@pytest.mark.parametrize("first", range(len(DECLINE_REFUSALS)))
def test_invalid_declines_are_answered_with_the_first_failing_check(first):
    broken = dict(GOOD_ANSWER)
    for _, change in reversed(DECLINE_REFUSALS[first:]):
        broken |= change
    with pytest.raises(DECLINE_REFUSALS[first][0]):
        answer("decline_proposal", **broken)


@pytest.mark.parametrize("first", range(len(WITHDRAW_REFUSALS)))
def test_invalid_withdrawals_are_answered_with_the_first_failing_check(first):
    broken = GOOD_ANSWER | {"by": "acme"}
    for _, change in reversed(WITHDRAW_REFUSALS[first:]):
        broken |= change
    with pytest.raises(WITHDRAW_REFUSALS[first][0]):
        answer("withdraw_proposal", **broken)


def test_the_last_acceptance_enacts_in_the_last_millisecond_of_the_window():
    ledger = answer("accept_proposal", **GOOD_ANSWER)
    enacted = ledger.the(p.PROPOSAL)
    assert enacted.status == p.ProposalStatus.ENACTED
    assert enacted.accepted_by[1] == f"{org('alpha')}/{member('alpha', 'administrator')}"
    assert enacted.result == ("sys/rules",)
    assert ledger.parameters == CHANGED
    assert ledger.event_names() == ["proposal.opened", "parameters.set", "proposal.enacted"]
    assert ledger.advance(ENDS + 1) == []


def test_a_decline_ends_it_and_says_who():
    ledger = answer("decline_proposal", **GOOD_ANSWER)
    declined = ledger.the(p.PROPOSAL)
    assert (declined.status, declined.declined_by) == ("declined", f"{org('alpha')}/{member('alpha', 'administrator')}")
    assert ledger.parameters == DEFAULTS


def test_invalid_acceptance_after_the_window_because_it_has_lapsed_by_itself():
    with pytest.raises(WrongStatus):
        answer("accept_proposal", **(GOOD_ANSWER | {"at": ENDS + 1}))


def test_invalid_acceptance_after_the_window_even_if_its_deadline_has_not_fired_yet():
    """At most `deadlines_per_block_max` fire in one block, so the guard looks at the window itself."""
    ledger = ledger_of()
    opened = propose(ledger)
    ledger.time_ms = ENDS + 1
    command = p.AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    with pytest.raises(p.ProposalLapsed):
        p.accept(command, ledger.call(ledger.sender("alpha", "administrator")))


def test_a_proposal_lapses_in_the_first_block_after_its_window():
    ledger = ledger_of()
    opened = propose(ledger)
    assert ledger.advance(ENDS) == []
    ledger.advance(ENDS + 1)
    assert ledger.the(p.PROPOSAL) == replace(opened, status=p.ProposalStatus.LAPSED)
    assert ledger.event_names()[-1] == "proposal.lapsed"


def test_all_who_must_accept_may_sign_the_proposal_itself():
    ledger = ledger_of()
    enacted = propose(ledger, signers=(ledger.sender("alpha", "administrator"),))
    assert (enacted.status, len(enacted.accepted_by)) == ("enacted", 2)
    assert ledger.parameters == CHANGED


@pytest.mark.parametrize(("name", "role"), [("alpha", "finance"), ("north", "administrator"), ("acme", "auditor")])
def test_a_further_signature_that_may_not_accept_counts_for_nothing(name, role):
    ledger = ledger_of()
    opened = propose(ledger, signers=(ledger.sender(name, role),))
    assert (opened.status, len(opened.accepted_by)) == ("open", 1)


def test_the_same_cause_opens_one_proposal_only():
    ledger = ledger_of()
    cause = Cause(ledger_id="sg_x", event_id="1/1", purpose="tune")
    opened = propose(ledger, cause=cause)
    with pytest.raises(Rejected) as caught:
        propose(ledger, cause=cause, at=OPENED + 1)
    assert (caught.value.refusal_name(), caught.value.existing_id) == ("ALREADY_DONE", opened.id)


def test_a_proposal_that_no_longer_holds_is_refused_by_its_last_acceptance():
    ledger = ledger_of()
    first, second = propose(ledger), propose(ledger, at=OPENED + 1)
    alpha = ledger.sender("alpha", "administrator")
    ledger.run("accept_proposal", p.AcceptProposal(proposal_id=first.id, act_sha256=first.act_sha256), sender=alpha)
    before = ledger.root()
    with pytest.raises(Rejected) as caught:
        ledger.run(
            "accept_proposal", p.AcceptProposal(proposal_id=second.id, act_sha256=second.act_sha256), sender=alpha
        )
    assert caught.value.refusal_name() == "PARAMETERS_UNCHANGED"
    assert ledger.root() == before


def test_who_must_accept_follows_the_membership():
    """A member that leaves while a proposal is open is waited for no longer."""
    ledger = MemoryLedger.omni(p.CONTRACT)
    ledger.write(replace(ledger.the(ORGANIZATION, org("acme")), validator_key=b""))
    senders = {name: ledger.sender(name, "administrator") for name in ("alpha", "bravo", "north", "south")}
    act = p.act_of("set_parameters", SetParameters(parameters=CHANGED))
    three = (senders["alpha"], senders["bravo"], senders["north"])
    ledger.run("propose", p.Propose(act=act, valid_for_ms=WINDOW), sender=senders["alpha"], signers=three)
    opened = ledger.the(p.PROPOSAL)
    assert org("acme") in opened.required
    removal = p.act_of("remove_organization", RemoveOrganization(organization_id=org("acme")))
    everybody = tuple(senders.values())
    ledger.run("propose", p.Propose(act=removal, valid_for_ms=WINDOW), sender=senders["south"], signers=everybody)
    accept = p.AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=senders["south"])
    assert ledger.parameters == CHANGED
    assert org("acme") not in ledger.the(p.PROPOSAL, opened.id).required


# What an act is told about its proposal


def noted(command, call):
    record = replace(
        member_record("acme", "sof"),
        id=call.new_id(MEMBER),
        organization_id="/".join((call.proposal_id, *call.accepted_by))[:200],
    )
    return Outcome(writes=(record,), events=(Event("member.added", record),))


NOTING = Contract(
    name="noting",
    acts=(
        ActType(
            name="remove_organization",
            command=RemoveOrganization,
            required=lambda _, call: governors(call.view, Position.PARTY),
            check=lambda _, call: None,
            enact=noted,
            roles=(Role.FINANCE,),
        ),
    ),
)


def test_an_enacted_act_knows_its_proposal_and_who_accepted_it():
    ledger = ledger_of(NOTING)
    act = p.act_of("remove_organization", RemoveOrganization(organization_id="x"))
    cause = Cause(ledger_id="sg_x", event_id="1/1", purpose="note")
    signers = (ledger.sender("alpha", "finance"),)
    before = {found.id for found in ledger.all(MEMBER)}
    enacted = propose(ledger, act=act, role="finance", signers=signers, cause=cause)
    (created,) = (found for found in ledger.all(MEMBER) if found.id not in before)
    assert created.organization_id == "/".join((enacted.id, *enacted.accepted_by))[:200]
    assert len(enacted.accepted_by) == 2
    assert isinstance(created, Member)


class ProposalHistory(RuleBasedStateMachine):
    """Any history of answers: the parameters change exactly when a proposal is enacted, and that takes both parties."""

    def __init__(self):
        super().__init__()
        self.ledger = ledger_of()
        self.proposed = 0
        self.values = {}
        self.in_force = DEFAULTS

    def attempt(self, message, command, by, role="administrator", signers=()):
        before = self.ledger.root()
        sender = self.ledger.sender(by, role)
        try:
            self.ledger.run(message, command, sender=sender, signers=signers and (sender, *signers))
        except Rejected:
            assert self.ledger.root() == before or self.ledger.fired

    parties = st.sampled_from(["acme", "alpha"])
    anybody = st.sampled_from(["acme", "alpha", "north", "ofcom"])

    @rule(by=anybody, together=st.booleans(), window=st.sampled_from([10_000, 20_000]))
    def propose(self, by, together, window):
        self.proposed += 1
        value = replace(DEFAULTS, items_max=self.proposed + 1)
        act = p.act_of("set_parameters", SetParameters(parameters=value))
        signers = tuple(self.ledger.sender(n, "administrator") for n in ("acme", "alpha") if together)
        known = {found.id for found in self.ledger.all(p.PROPOSAL)}
        self.attempt("propose", p.Propose(act=act, valid_for_ms=window), by, signers=signers)
        self.values |= {found.id: value for found in self.ledger.all(p.PROPOSAL) if found.id not in known}

    @precondition(lambda self: self.values)
    @rule(by=anybody, role=st.sampled_from(["administrator", "finance"]), place=st.integers(0, 9), honest=st.booleans())
    def accept(self, by, role, place, honest):
        found = self.pick(place)
        sha = found.act_sha256 if honest else bytes(32)
        self.attempt("accept_proposal", p.AcceptProposal(proposal_id=found.id, act_sha256=sha), by, role)

    @precondition(lambda self: self.values)
    @rule(by=anybody, place=st.integers(0, 9))
    def decline(self, by, place):
        self.attempt("decline_proposal", p.DeclineProposal(proposal_id=self.pick(place).id), by)

    @precondition(lambda self: self.values)
    @rule(by=anybody, place=st.integers(0, 9))
    def withdraw(self, by, place):
        self.attempt("withdraw_proposal", p.WithdrawProposal(proposal_id=self.pick(place).id), by)

    @rule(ms=st.integers(1, 12_000))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    def pick(self, place):
        every = sorted(self.ledger.all(p.PROPOSAL), key=lambda found: found.valid_until_ms)
        return every[-1 - place % len(every)]

    @invariant()
    def parameters_are_those_of_the_last_enacted_proposal(self):
        enacted = {found.id for found in self.ledger.all(p.PROPOSAL) if found.status == p.ProposalStatus.ENACTED}
        assert self.ledger.parameters in {DEFAULTS, *(self.values[found] for found in enacted)}
        assert (self.ledger.parameters == DEFAULTS) == (not enacted)

    @invariant()
    def enacted_means_accepted_by_both_and_open_means_not(self):
        for found in self.ledger.all(p.PROPOSAL):
            organizations = {signer.split("/")[0] for signer in found.accepted_by}
            both = organizations == {org("acme"), org("alpha")}
            assert both == (found.status == p.ProposalStatus.ENACTED)
            assert bool(found.result) == both
            assert len(organizations) == len(found.accepted_by)

    @invariant()
    def nothing_stays_open_past_its_window(self):
        for found in self.ledger.all(p.PROPOSAL):
            if found.status == p.ProposalStatus.OPEN:
                assert self.ledger.time_ms <= found.valid_until_ms


TestProposalHistory = ProposalHistory.TestCase
TestProposalHistory.settings = settings(max_examples=25, stateful_step_count=25)


@pytest.mark.parametrize("message", ["propose", "accept_proposal", "decline_proposal"])
def test_invalid_say_of_an_organization_that_the_act_does_not_need(message):
    """Whoever is to be removed has no say in it."""
    ledger = MemoryLedger.omni(p.CONTRACT)
    ledger.write(replace(ledger.the(ORGANIZATION, org("acme")), validator_key=b""))
    act = p.act_of("remove_organization", RemoveOrganization(organization_id=org("acme")))
    proposing = p.Propose(act=act, valid_for_ms=WINDOW)
    ledger.run("propose", proposing, sender=ledger.sender("alpha", "administrator"))
    opened = ledger.the(p.PROPOSAL)
    commands = {
        "propose": proposing,
        "accept_proposal": p.AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256),
        "decline_proposal": p.DeclineProposal(proposal_id=opened.id),
    }
    before = ledger.root()
    with pytest.raises(p.NotConcerned):
        ledger.run(message, commands[message], sender=ledger.sender("acme", "administrator"))
    assert ledger.root() == before

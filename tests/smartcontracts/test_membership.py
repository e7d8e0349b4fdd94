"""Membership: an administrator rules its own organization only, and can't lock it out; strangers come in by a joint act."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smartcontracts import membership as m
from smartcontracts import proposal
from smartcontracts.kernel import Position, PositionWrong, Rejected, Role, RoleMissing, WrongStatus
from smartcontracts.proposal import PROPOSAL, AcceptProposal, NotConcerned, Propose, act_of
from tests.smartcontracts.support import (
    START_MS,
    MemoryLedger,
    member,
    member_record,
    org,
    organization_record,
    public_key,
)

NOW = START_MS + 1_000
NEW_KEY = public_key("acme", "newcomer")
SMALL_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
NOT_CANONICAL = bytes.fromhex("ee" + "ff" * 30 + "7f")


def ledger_with(*, crowded=False, full=False, revoked=False, lonely=False):
    ledger = MemoryLedger.bilateral(proposal.CONTRACT)
    if crowded:
        for n in range(m.ADMINISTRATORS_MAX - 1):
            key = public_key("acme", f"administrator {n}")
            extra = replace(member_record("acme", "administrator"), id=f"mbr_{n}", keys=(m.MemberKey(public_key=key),))
            ledger.write(extra)
    sof = ledger.the(m.MEMBER, member("acme", "sof"))
    if full:
        more = tuple(m.MemberKey(public_key=public_key("acme", f"sof {n}")) for n in range(m.KEYS_MAX - 1))
        sof = replace(sof, keys=(*sof.keys, *more))
        ledger.write(sof)
    if revoked:
        ledger.write(replace(sof, status=m.MemberStatus.REVOKED))
    if not lonely and not crowded:
        second = m.MemberKey(public_key=public_key("acme", "second administrator"))
        ledger.write(replace(member_record("acme", "administrator"), id="mbr_second", keys=(second,)))
    return ledger


def first_failing(name, command, good, refusals, first):
    """Runs the message with every change from `first` on made to what is good; the first one must answer."""
    broken = {"by": "acme", "role": "administrator", "ledger": {}, **good}
    for _, change in reversed(refusals[first:]):
        broken = {**broken, **change, "ledger": broken["ledger"] | change.get("ledger", {})}
    ledger = ledger_with(**broken.pop("ledger"))
    sender = ledger.sender(broken.pop("by"), broken.pop("role"))
    before = ledger.root()
    with pytest.raises(refusals[first][0]):
        ledger.run(name, command(**broken), sender=sender, at=NOW)
    assert ledger.root() == before


GOOD_ADD = {"public_key": NEW_KEY, "roles": ("administrator", "auditor"), "valid_until_ms": NOW + 1}
ADD_REFUSALS = [
    (RoleMissing, {"role": "finance"}),
    *((m.RolesInvalid, {"roles": r}) for r in ((), ("king",), ("auditor", "administrator"), ("auditor", "auditor"))),
    (m.KeyValidityInvalid, {"valid_until_ms": NOW}),
    (m.KeyValidityInvalid, {"valid_until_ms": -1}),
    *((m.KeyInvalid, {"public_key": k}) for k in (b"", NEW_KEY[:-1], bytes(32), SMALL_ORDER, NOT_CANONICAL)),
    (m.KeyTaken, {"public_key": public_key("alpha", "sof")}),
    (m.TooManyAdministrators, {"ledger": {"crowded": True}}),
]


@pytest.mark.parametrize("first", range(len(ADD_REFUSALS)))
def test_invalid_add_member_answers_with_the_first_failing_check(first):
    first_failing("add_member", m.AddMember, GOOD_ADD, ADD_REFUSALS, first)


def test_an_administrator_adds_a_member_that_counts_at_once():
    ledger = ledger_with()
    ledger.run("add_member", m.AddMember(**GOOD_ADD), sender=ledger.sender("acme", "administrator"), at=NOW)
    (added,) = ledger.find(m.MEMBER, "keys", NEW_KEY.hex(), 5)
    assert (added.organization_id, added.status) == (org("acme"), m.MemberStatus.ACTIVE)
    assert added.roles == (Role.ADMINISTRATOR, Role.AUDITOR)
    assert [added.keys[0].is_usable(t) for t in (NOW - 1, NOW, NOW + 1, NOW + 2)] == [False, True, True, False]


@pytest.mark.parametrize("by", ["acme", "north", "ofcom"])
def test_organizations_in_every_position_rule_their_own_members(by):
    ledger = ledger_with()
    ledger.run("add_member", m.AddMember(**GOOD_ADD), sender=ledger.sender(by, "administrator"), at=NOW)
    assert ledger.find(m.MEMBER, "keys", NEW_KEY.hex(), 1)[0].organization_id == org(by)


GOOD_REVOKE = {"member_id": member("acme", "sof")}
REVOKE_REFUSALS = [
    (RoleMissing, {"role": "sof"}),
    (m.MemberUnknown, {"member_id": "mbr_unheard"}),
    (m.MemberUnknown, {"member_id": member("alpha", "sof")}),
    (WrongStatus, {"ledger": {"revoked": True}}),
    (m.LastAdministrator, {"member_id": member("acme", "administrator"), "ledger": {"lonely": True}}),
]


@pytest.mark.parametrize("first", [0, 1, 2, 4])
def test_invalid_revoke_member_answers_with_the_first_failing_check(first):
    first_failing("revoke_member", m.RevokeMember, GOOD_REVOKE, REVOKE_REFUSALS, first)


def test_invalid_revocation_of_a_revoked_member():
    first_failing("revoke_member", m.RevokeMember, GOOD_REVOKE, REVOKE_REFUSALS[3:4], 0)


def test_a_revoked_member_and_its_keys_count_no_more_and_are_never_taken_up_again():
    ledger = ledger_with()
    key = public_key("acme", "sof")
    administrator = ledger.sender("acme", "administrator")
    ledger.run("revoke_member", m.RevokeMember(**GOOD_REVOKE), sender=administrator, at=NOW)
    revoked = ledger.the(m.MEMBER, member("acme", "sof"))
    assert (revoked.status, revoked.revoked_at_ms, revoked.keys[0].revoked_at_ms) == ("revoked", NOW, NOW)
    assert not revoked.keys[0].is_usable(NOW)
    assert ledger.find(m.MEMBER, "keys", key.hex(), 1) == ()
    for again in (
        ("add_member", m.AddMember(public_key=key, roles=("sof",))),
        ("add_member_key", m.AddMemberKey(member_id=member("acme", "sco"), public_key=key)),
    ):
        with pytest.raises(m.KeyTaken):
            ledger.run(*again, sender=administrator)
    for message, command in (
        ("set_member_roles", m.SetMemberRoles(member_id=revoked.id, roles=("sof",))),
        ("add_member_key", m.AddMemberKey(member_id=revoked.id, public_key=NEW_KEY)),
        ("revoke_member_key", m.RevokeMemberKey(member_id=revoked.id, public_key=key)),
    ):
        with pytest.raises(WrongStatus):
            ledger.run(message, command, sender=administrator)


GOOD_KEY = {"member_id": member("acme", "sof"), "public_key": NEW_KEY, "valid_until_ms": 0}
KEY_REFUSALS = [
    (m.MemberUnknown, {"member_id": member("alpha", "sof")}),
    (m.TooManyKeys, {"ledger": {"full": True}}),
    (m.KeyValidityInvalid, {"valid_until_ms": NOW}),
    (m.KeyInvalid, {"public_key": SMALL_ORDER}),
    (m.KeyTaken, {"public_key": public_key("acme", "sof")}),
]


@pytest.mark.parametrize("first", range(len(KEY_REFUSALS)))
def test_invalid_add_member_key_answers_with_the_first_failing_check(first):
    first_failing("add_member_key", m.AddMemberKey, GOOD_KEY, KEY_REFUSALS, first)


GOOD_KEY_END = {"member_id": member("acme", "administrator"), "public_key": public_key("acme", "administrator")}
KEY_END_REFUSALS = [
    (m.MemberUnknown, {"member_id": "mbr_unheard"}),
    (m.KeyUnknown, {"public_key": NEW_KEY}),
    (m.LastAdministrator, {"ledger": {"lonely": True}}),
]


@pytest.mark.parametrize("first", range(len(KEY_END_REFUSALS)))
def test_invalid_revoke_member_key_answers_with_the_first_failing_check(first):
    first_failing("revoke_member_key", m.RevokeMemberKey, GOOD_KEY_END, KEY_END_REFUSALS, first)


def test_a_key_is_changed_by_adding_the_new_one_and_revoking_the_old_one_together():
    ledger = ledger_with(lonely=True)
    administrator = ledger.sender("acme", "administrator")
    ledger.run_together(
        [
            ("add_member_key", m.AddMemberKey(member_id=administrator.member, public_key=NEW_KEY), administrator),
            ("revoke_member_key", m.RevokeMemberKey(**GOOD_KEY_END), administrator),
        ],
        at=NOW,
    )
    old, new = ledger.the(m.MEMBER, administrator.member).keys
    assert (old.is_usable(NOW), new.is_usable(NOW)) == (False, True)
    with pytest.raises(m.KeyUnknown):
        ledger.run("revoke_member_key", m.RevokeMemberKey(**GOOD_KEY_END), sender=administrator)


GOOD_ROLES = {"member_id": member("acme", "sof"), "roles": ("administrator", "sof")}
ROLES_REFUSALS = [
    (m.MemberUnknown, {"member_id": member("north", "sof")}),
    (m.RolesInvalid, {"roles": ("sof", "sof")}),
    (m.TooManyAdministrators, {"ledger": {"crowded": True}}),
]


@pytest.mark.parametrize("first", range(len(ROLES_REFUSALS)))
def test_invalid_set_member_roles_answers_with_the_first_failing_check(first):
    first_failing("set_member_roles", m.SetMemberRoles, GOOD_ROLES, ROLES_REFUSALS, first)


def test_invalid_set_member_roles_of_the_last_administrator():
    last = {"member_id": member("acme", "administrator"), "roles": ("auditor",)}
    first_failing("set_member_roles", m.SetMemberRoles, last, [(m.LastAdministrator, {"ledger": {"lonely": True}})], 0)


def test_an_administrator_whose_keys_have_all_ended_does_not_count_as_one_that_is_left():
    ledger = ledger_with(lonely=True)
    ended = m.MemberKey(public_key=NEW_KEY, valid_from_ms=1, valid_until_ms=NOW - 1)
    ledger.write(replace(member_record("acme", "administrator"), id="mbr_ended", keys=(ended,)))
    with pytest.raises(m.LastAdministrator):
        ledger.run(
            "revoke_member",
            m.RevokeMember(member_id=member("acme", "administrator")),
            sender=ledger.sender("acme", "administrator"),
            at=NOW,
        )


NODE_IDS = ("a" * 40, "b" * 40)
NODE_REFUSALS = [
    *(
        (m.NodeIdsInvalid, {"node_ids": ids})
        for ids in (("A" * 40,), ("a" * 39,), NODE_IDS[::-1], ("a" * 40,) * 2, tuple(f"{n:040x}" for n in range(9)))
    ),
    (m.NodeIdTaken, {"node_ids": organization_record("alpha", Position.PARTY).node_ids}),
]


@pytest.mark.parametrize("first", range(len(NODE_REFUSALS)))
def test_invalid_set_node_ids_answers_with_the_first_failing_check(first):
    first_failing("set_node_ids", m.SetNodeIds, {"node_ids": NODE_IDS}, NODE_REFUSALS, first)


def test_node_ids_are_replaced_as_a_whole():
    ledger = ledger_with()
    for ids in (NODE_IDS, tuple(f"{n:040x}" for n in range(8)), ()):
        ledger.run("set_node_ids", m.SetNodeIds(node_ids=ids), sender=ledger.sender("acme", "administrator"))
        assert ledger.the(m.ORGANIZATION, org("acme")).node_ids == ids


# Joint acts

WATCHER = organization_record("watcher", Position.OBSERVER)
FIRST = replace(
    member_record("watcher", "administrator"), keys=(m.MemberKey(public_key=public_key("watcher", "administrator")),)
)
ADMISSION = {"organization": WATCHER, "members": (FIRST,)}


def together(ledger, name, command, *names, at=NOW):
    """All of `names` sign one transaction that proposes the act."""
    signers = tuple(ledger.sender(n, "administrator") for n in names)
    act = act_of(name, command)
    ledger.run("propose", Propose(act=act, valid_for_ms=60_000), sender=signers[0], signers=signers, at=at)


def organization_with(**change):
    return {"organization": replace(WATCHER, **change)}


def member_with(**change):
    return {"members": (replace(FIRST, **change),)}


ADMISSION_REFUSALS = [
    *(
        (m.OrganizationInvalid, organization_with(**change))
        for change in (
            {"name": ""},
            {"name": "x" * 65},
            {"position": Position.PARTY},
            {"position": Position.NEUTRAL},
            {"position": Position.MEMBER},
            {"status": m.OrganizationStatus.REMOVED},
            {"removed_at_ms": 1},
            {"validator_key": NEW_KEY},
            {"ca_certificate": b""},
            {"ca_certificate": bytes(m.CA_CERTIFICATE_BYTES_MAX + 1)},
            {"ca_public_key": b""},
            {"ca_public_key": b"another"},
            {"id": org("acme")},
        )
    ),
    (m.NodeIdsInvalid, organization_with(node_ids=("x",))),
    (m.NodeIdTaken, organization_with(node_ids=organization_record("north", Position.NEUTRAL).node_ids)),
    (m.OrganizationPresent, {"organization": organization_record("ofcom", Position.OBSERVER)}),
    *(
        (m.AdmittedMembersInvalid, member_with(**change))
        for change in (
            {"keys": ()},
            {"keys": FIRST.keys * 2},
            {"id": "mbr_chosen"},
            {"organization_id": org("acme")},
            {"status": m.MemberStatus.REVOKED},
            {"revoked_at_ms": 1},
            {"keys": (replace(FIRST.keys[0], valid_from_ms=1),)},
            {"keys": (replace(FIRST.keys[0], revoked_at_ms=1),)},
            {"keys": (replace(FIRST.keys[0], valid_until_ms=NOW),)},
        )
    ),
    (m.RolesInvalid, member_with(roles=())),
    (m.KeyTaken, {"members": (FIRST, FIRST)}),
    (m.AdmittedMembersInvalid, {"members": ()}),
    (m.AdmittedMembersInvalid, member_with(roles=(Role.AUDITOR,))),
]


@pytest.mark.parametrize(("refusal", "change"), ADMISSION_REFUSALS)
def test_invalid_admission_is_refused_when_it_is_proposed(refusal, change):
    ledger = ledger_with()
    before = ledger.root()
    with pytest.raises(refusal):
        together(ledger, "admit_organization", m.AdmitOrganization(**(ADMISSION | change)), "acme", "alpha")
    assert ledger.root() == before


def test_invalid_admission_of_a_key_that_is_known():
    ledger = ledger_with()
    key = public_key("acme", "sof")
    known = replace(FIRST, id=m.member_id(WATCHER.id, key), keys=(m.MemberKey(public_key=key),))
    with pytest.raises(m.KeyTaken):
        together(
            ledger, "admit_organization", m.AdmitOrganization(organization=WATCHER, members=(FIRST, known)), "acme"
        )


def test_an_observers_grant_takes_both_parties_and_neutrals_have_no_say():
    ledger = ledger_with()
    for name, refusal in (("north", PositionWrong), ("ofcom", PositionWrong)):
        with pytest.raises(refusal):
            together(ledger, "admit_organization", m.AdmitOrganization(**ADMISSION), name, at=None)
    together(ledger, "admit_organization", m.AdmitOrganization(**ADMISSION), "acme", at=NOW)
    assert ledger.get(m.ORGANIZATION, WATCHER.id) is None
    opened = ledger.the(PROPOSAL)
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "administrator"), at=NOW + 5)
    assert ledger.the(m.ORGANIZATION, WATCHER.id) == WATCHER
    key = ledger.the(m.MEMBER, FIRST.id).keys[0]
    assert [key.is_usable(t) for t in (NOW + 4, NOW + 5)] == [False, True]
    assert ledger.the(PROPOSAL).result == (f"organization/{WATCHER.id}", f"member/{FIRST.id}")


def test_a_grant_is_revoked_by_both_parties_and_may_be_given_again():
    ledger = ledger_with()
    remove = m.RemoveOrganization(organization_id=org("ofcom"))
    together(ledger, "remove_organization", remove, "alpha", "acme")
    removed = ledger.the(m.ORGANIZATION, org("ofcom"))
    assert (removed.status, removed.removed_at_ms, removed.node_ids) == ("removed", NOW, ())
    with pytest.raises(m.OrganizationUnknown):
        together(ledger, "remove_organization", remove, "acme", at=None)
    again = organization_record("ofcom", Position.OBSERVER)
    together(ledger, "admit_organization", m.AdmitOrganization(organization=again), "acme", "alpha", at=None)
    assert ledger.the(m.ORGANIZATION, org("ofcom")) == again


@pytest.mark.parametrize("name", ["acme", "alpha", "north"])
def test_parties_and_neutrals_cannot_be_removed(name):
    ledger = ledger_with()
    remove = m.RemoveOrganization(organization_id=org(name))
    by = "alpha" if name == "acme" else "acme"
    with pytest.raises(m.CannotBeRemoved):
        together(ledger, "remove_organization", remove, by)


def test_on_omni_all_others_remove_a_member_that_does_not_validate():
    ledger = MemoryLedger.omni(proposal.CONTRACT)
    remove = m.RemoveOrganization(organization_id=org("acme"))
    with pytest.raises(m.CannotBeRemoved):
        together(ledger, "remove_organization", remove, "alpha")
    ledger.write(replace(ledger.the(m.ORGANIZATION, org("acme")), validator_key=b""))
    with pytest.raises(NotConcerned):
        together(ledger, "remove_organization", remove, "acme", at=None)
    together(ledger, "remove_organization", remove, "alpha", "bravo", "north", "south", at=None)
    assert ledger.the(m.ORGANIZATION, org("acme")).status == m.OrganizationStatus.REMOVED
    assert org("acme") not in m.governors(ledger, Position.MEMBER)


def test_on_omni_a_newcomer_may_be_a_member():
    ledger = MemoryLedger.omni(proposal.CONTRACT)
    command = m.AdmitOrganization(organization=replace(WATCHER, position=Position.MEMBER), members=(FIRST,))
    together(ledger, "admit_organization", command, "acme", "alpha", "bravo", "north", "south")
    assert WATCHER.id in m.governors(ledger, Position.MEMBER)


def test_a_ledger_has_room_for_a_bounded_number_of_organizations():
    ledger = ledger_with()
    present = len(ledger.all(m.ORGANIZATION))
    for n in range(m.ORGANIZATIONS_MAX - present):
        ledger.write(replace(organization_record(f"observer {n}", Position.OBSERVER), node_ids=()))
    with pytest.raises(m.TooManyOrganizations):
        together(ledger, "admit_organization", m.AdmitOrganization(**ADMISSION), "acme")


class MembershipHistory(RuleBasedStateMachine):
    """Any history of administrators' acts: no organization is ever left without one that can sign."""

    def __init__(self):
        super().__init__()
        self.ledger = MemoryLedger.bilateral()
        self.made = 0

    def attempt(self, name, command, by):
        before = self.ledger.root()
        try:
            self.ledger.run(name, command, sender=self.ledger.sender(by, "administrator"))
        except Rejected:
            assert self.ledger.root() == before

    names = st.sampled_from(["acme", "alpha"])

    @rule(by=names, administrator=st.booleans(), ttl=st.sampled_from([0, 3]))
    def add(self, by, administrator, ttl):
        self.made += 1
        key = public_key(by, f"made {self.made}")
        until = self.ledger.time_ms + ttl if ttl else 0
        roles = ("administrator",) if administrator else ("sof",)
        self.attempt("add_member", m.AddMember(public_key=key, roles=roles, valid_until_ms=until), by)

    @rule(by=names, place=st.integers(0, 30))
    def revoke(self, by, place):
        self.attempt("revoke_member", m.RevokeMember(member_id=self.pick(place).id), by)

    @rule(by=names, place=st.integers(0, 30), administrator=st.booleans())
    def set_roles(self, by, place, administrator):
        roles = ("administrator",) if administrator else ("auditor",)
        self.attempt("set_member_roles", m.SetMemberRoles(member_id=self.pick(place).id, roles=roles), by)

    @rule(by=names, place=st.integers(0, 30))
    def revoke_key(self, by, place):
        found = self.pick(place)
        self.attempt(
            "revoke_member_key", m.RevokeMemberKey(member_id=found.id, public_key=found.keys[0].public_key), by
        )

    def pick(self, place):
        members = [x for x in self.ledger.all(m.MEMBER) if x.organization_id in (org("acme"), org("alpha"))]
        return members[place % len(members)]

    @invariant()
    def somebody_can_still_administer(self):
        for name in ("acme", "alpha"):
            members = [x for x in self.ledger.all(m.MEMBER) if x.organization_id == org(name)]
            # Only time itself may end an administrator's key.
            assert any(
                x.status == "active" and Role.ADMINISTRATOR in x.roles and not x.keys[0].revoked_at_ms for x in members
            )

    @invariant()
    def a_key_is_known_for_one_member_only(self):
        keys = [key.public_key for x in self.ledger.all(m.MEMBER) for key in x.keys]
        assert len(set(keys)) == len(keys)


TestMembershipHistory = MembershipHistory.TestCase
TestMembershipHistory.settings = settings(max_examples=20, stateful_step_count=25)


def test_room_for_administrators_counts_active_ones_only():
    ledger = ledger_with(crowded=True)
    administrator = ledger.sender("acme", "administrator")
    add = m.AddMember(public_key=NEW_KEY, roles=("administrator",))
    with pytest.raises(m.TooManyAdministrators):
        ledger.run("add_member", add, sender=administrator)
    ledger.run("revoke_member", m.RevokeMember(member_id="mbr_0"), sender=administrator)
    ledger.run("add_member", add, sender=administrator)
    with pytest.raises(m.TooManyAdministrators):
        ledger.run(
            "add_member",
            m.AddMember(public_key=public_key("acme", "one more"), roles=("administrator",)),
            sender=administrator,
        )


def test_invalid_removal_of_an_organization_that_was_never_here():
    with pytest.raises(m.OrganizationUnknown):
        together(ledger_with(), "remove_organization", m.RemoveOrganization(organization_id=org("stranger")), "acme")


def test_invalid_acceptance_of_an_admission_that_was_done_meanwhile():
    ledger = ledger_with()
    together(ledger, "admit_organization", m.AdmitOrganization(**ADMISSION), "acme", at=NOW)
    opened = ledger.the(PROPOSAL)
    together(ledger, "admit_organization", m.AdmitOrganization(**ADMISSION), "acme", "alpha", at=NOW + 1)
    before = ledger.root()
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    with pytest.raises(m.OrganizationPresent):
        ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "administrator"))
    assert ledger.root() == before

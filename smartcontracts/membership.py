"""Membership: who is on a ledger, with which members, keys and roles, and who let them in.

An organization's own administrator adds and revokes its members, keys and roles. Who else may be on the ledger is a joint
act of those that govern it: the parties, or on the omni ledger every member. L-05 functions of one provider sign with keys of
their own; L-18. DESIGN sections 5, 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import (
    ActType,
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Position,
    Rejected,
    Role,
    Terms,
    View,
    step,
)
from smartcontracts.parameters import (
    RULES,
    ScheduleVersion,
    SetParameters,
    check_schedule_version,
    check_set_parameters,
    schedule_version,
    set_parameters,
)
from smartcontracts.verify.ed25519 import check_public_key
from smartcontracts.verify.errors import PublicKeyInvalid

NAME_CHARACTERS_MAX: Final = 64
CA_CERTIFICATE_BYTES_MAX: Final = 4_096
CA_PUBLIC_KEY_BYTES_MAX: Final = 256
NODE_IDS_MAX: Final = 8
ORGANIZATIONS_MAX: Final = 100
ADMITTED_MEMBERS_MAX: Final = 32
ADMINISTRATORS_MAX: Final = 32
# Revoked ones count: they stay known, so that nobody takes them up again.
KEYS_MAX: Final = 16

EVERYBODY: Final = tuple(Position)
GOVERNING: Final = (Position.PARTY, Position.MEMBER)
_NODE_ID: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)


class OrganizationStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ACTIVE = "active"
    REMOVED = "removed"


class MemberStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ACTIVE = "active"
    REVOKED = "revoked"


ORGANIZATION_LIFECYCLE: Final = MappingProxyType(
    {
        (OrganizationStatus.ACTIVE, "set_node_ids"): OrganizationStatus.ACTIVE,
        (OrganizationStatus.ACTIVE, "remove"): OrganizationStatus.REMOVED,
        (OrganizationStatus.REMOVED, "admit"): OrganizationStatus.ACTIVE,
    }
)

MEMBER_LIFECYCLE: Final = MappingProxyType(
    {
        (MemberStatus.ACTIVE, "add_key"): MemberStatus.ACTIVE,
        (MemberStatus.ACTIVE, "revoke_key"): MemberStatus.ACTIVE,
        (MemberStatus.ACTIVE, "set_roles"): MemberStatus.ACTIVE,
        (MemberStatus.ACTIVE, "revoke"): MemberStatus.REVOKED,
    }
)


class MemberUnknown(Rejected):
    """The organization has no such member."""

    code = 2001
    grpc = Grpc.NOT_FOUND


class RolesInvalid(Rejected):
    """Roles must be known ones, at least one, sorted, none twice."""

    code = 2002
    grpc = Grpc.INVALID_ARGUMENT


class KeyInvalid(Rejected):
    """A public key is not 32 bytes of a canonical Ed25519 point of large order."""

    code = 2003
    grpc = Grpc.INVALID_ARGUMENT


class KeyTaken(Rejected):
    """The key belongs or belonged to a member of this ledger already."""

    code = 2004
    grpc = Grpc.ALREADY_EXISTS


class KeyUnknown(Rejected):
    """The member has no such key, or it is revoked already."""

    code = 2005
    grpc = Grpc.NOT_FOUND


class KeyValidityInvalid(Rejected):
    """A key's validity would end before it begins."""

    code = 2006
    grpc = Grpc.INVALID_ARGUMENT


class TooManyKeys(Rejected):
    """A member has as many keys as are allowed, revoked ones included."""

    code = 2007
    grpc = Grpc.RESOURCE_EXHAUSTED


class TooManyAdministrators(Rejected):
    """An organization has as many administrators as are allowed."""

    code = 2008
    grpc = Grpc.RESOURCE_EXHAUSTED


class LastAdministrator(Rejected):
    """Without this member or key, no administrator of the organization could sign any more."""

    code = 2009


class NodeIdsInvalid(Rejected):
    """CometBFT node ids must be 40 lower-case hexadecimal digits, sorted, none twice, at most eight."""

    code = 2010
    grpc = Grpc.INVALID_ARGUMENT


class OrganizationUnknown(Rejected):
    """There is no such organization on this ledger, or its access has ended."""

    code = 2011
    grpc = Grpc.NOT_FOUND


class OrganizationPresent(Rejected):
    """The organization is on this ledger already."""

    code = 2012
    grpc = Grpc.ALREADY_EXISTS


class OrganizationInvalid(Rejected):
    """An organization's record has a field that an admission may not give it."""

    code = 2013
    grpc = Grpc.INVALID_ARGUMENT


class AdmittedMembersInvalid(Rejected):
    """The members that come with an admission are not as they must be."""

    code = 2014
    grpc = Grpc.INVALID_ARGUMENT


class CannotBeRemoved(Rejected):
    """Parties, neutrals and validators can't be removed from a ledger."""

    code = 2015


class TooManyOrganizations(Rejected):
    """The ledger has as many organizations as are allowed."""

    code = 2016
    grpc = Grpc.RESOURCE_EXHAUSTED


class NodeIdTaken(Rejected):
    """The node id belongs to another organization of this ledger."""

    code = 2017
    grpc = Grpc.ALREADY_EXISTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A legal entity on this ledger. `id` derives from `ca_public_key`: the same on every ledger.

    A contract reads no X.509: that `ca_certificate` (DER) certifies `ca_public_key` (SubjectPublicKeyInfo, DER) is
    checked by whoever uses the certificate for TLS, and a certificate that does not match lets nobody in.
    """

    id: str
    name: str
    position: Position
    status: OrganizationStatus = OrganizationStatus.ACTIVE
    ca_certificate: bytes = b""
    node_ids: tuple[str, ...] = ()
    validator_key: bytes = b""
    removed_at_ms: int = 0
    ca_public_key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberKey:
    """A public key and its validity; both ends in ledger time and included, `valid_until_ms` 0 is without end."""

    public_key: bytes
    valid_from_ms: int = 0
    valid_until_ms: int = 0
    revoked_at_ms: int = 0

    def is_usable(self, at_ms: int) -> bool:
        """Whether a signature by this key counts at that ledger time."""
        return (
            not self.revoked_at_ms
            and self.valid_from_ms <= at_ms
            and (not self.valid_until_ms or at_ms <= self.valid_until_ms)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person's or function's standing in an organization; nothing about the person."""

    id: str
    organization_id: str
    roles: tuple[Role, ...]
    keys: tuple[MemberKey, ...] = field(metadata={"list_max": KEYS_MAX})
    status: MemberStatus = MemberStatus.ACTIVE
    revoked_at_ms: int = 0

    def key(self, public_key: bytes) -> MemberKey | None:
        """The entry of a public key, revoked or not."""
        return next((k for k in self.keys if k.public_key == public_key), None)

    def is_administrator(self, at_ms: int) -> bool:
        """Whether this member can act as administrator at that ledger time."""
        return (
            self.status == MemberStatus.ACTIVE
            and Role.ADMINISTRATOR in self.roles
            and any(k.is_usable(at_ms) for k in self.keys)
        )


def _organization_terms(organization: Organization) -> Terms:
    present = organization.status == OrganizationStatus.ACTIVE
    keys = (f"position/{organization.position}", "present") if present else ()
    return Terms(
        status=organization.status,
        party=(organization.id,),
        keys=(*keys, *(f"node/{node_id}" for node_id in organization.node_ids)),
    )


def _member_terms(member: Member) -> Terms:
    active = member.status == MemberStatus.ACTIVE
    administrator = active and Role.ADMINISTRATOR in member.roles
    return Terms(
        status=member.status,
        party=(member.organization_id,),
        keys=(
            *(k.public_key.hex() for k in member.keys if not k.revoked_at_ms),
            *(f"known/{k.public_key.hex()}" for k in member.keys),
            *((f"administrator/{member.organization_id}",) if administrator else ()),
        ),
    )


# Keys: "position/<position>" and "present" while active; "node/<node id>".
ORGANIZATION: Final = Kind(
    name="organization",
    prefix="org",
    record=Organization,
    terms=_organization_terms,
    lifecycle=ORGANIZATION_LIFECYCLE,
    filters=("status", "party"),
)

# Keys: the hex of each key that is not revoked; "known/<hex>" for every key ever; "administrator/<organization>".
MEMBER: Final = Kind(
    name="member",
    prefix="mbr",
    record=Member,
    terms=_member_terms,
    lifecycle=MEMBER_LIFECYCLE,
    filters=("status", "party"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMember:
    """A new member of the sender's organization with its first key; `valid_until_ms` 0 is without end."""

    public_key: bytes
    roles: tuple[str, ...]
    valid_until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeMember:
    """A member's standing ends, with all of its keys."""

    member_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMemberKey:
    """One more key for a member."""

    member_id: str
    public_key: bytes
    valid_until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeMemberKey:
    """One key stops counting, at once and for good."""

    member_id: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMemberRoles:
    """All of a member's roles, anew."""

    member_id: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNodeIds:
    """All CometBFT node ids of the sender's organization, anew."""

    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitOrganization:
    """Joint act: an organization with its first members. On a bilateral ledger it can only observe."""

    organization: Organization
    members: tuple[Member, ...] = field(default=(), metadata={"list_max": ADMITTED_MEMBERS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOrganization:
    """Joint act: an organization's access ends."""

    organization_id: str


def governors(view: View, position: Position) -> tuple[str, ...]:
    """Ids of the present organizations with this position, sorted: with PARTY, the parties of a bilateral ledger."""
    found = view.find(ORGANIZATION, "keys", f"position/{position}", ORGANIZATIONS_MAX)
    return tuple(organization.id for organization in found)


def parties_of(view: View) -> tuple[str, ...]:
    """Ids of the ledger's parties, sorted: two on a bilateral ledger, one on an internal one, none on omni."""
    return governors(view, Position.PARTY)


def present_organization(view: View, organization: str, field: str) -> Organization:
    """The organization, if its access has not ended. Rejects with OrganizationUnknown."""
    found = view.get(ORGANIZATION, organization)
    if found is None or found.status != OrganizationStatus.ACTIVE:
        raise OrganizationUnknown(f"No organization {organization!r} has access to this ledger.", field)
    return found


def add_member(command: AddMember, call: Call) -> Outcome:
    """Write the new member. Rejects with the first of: RolesInvalid, KeyValidityInvalid, KeyInvalid, KeyTaken, TooManyAdministrators."""
    roles = checked_roles(command.roles, "roles")
    key = _new_key(command.public_key, command.valid_until_ms, call)
    if Role.ADMINISTRATOR in roles:
        _require_room_for_administrator(call)
    organization = call.sender.organization
    member = Member(
        id=member_id(organization, command.public_key),
        organization_id=organization,
        roles=roles,
        keys=(key,),
    )
    return Outcome(writes=(member,), events=(Event("member.added", member),))


def revoke_member(command: RevokeMember, call: Call) -> Outcome:
    """End a member's standing. Rejects with the first of: MemberUnknown, WrongStatus, LastAdministrator."""
    member = _own_member(command.member_id, call)
    status = step(MEMBER_LIFECYCLE, member.status, "revoke")
    now_ms = call.block.time_ms
    keys = tuple(k if k.revoked_at_ms else replace(k, revoked_at_ms=now_ms) for k in member.keys)
    revoked = replace(member, status=status, keys=keys, revoked_at_ms=now_ms)
    _require_administrator_left(member, revoked, call, "member_id")
    return Outcome(writes=(revoked,), events=(Event("member.revoked", revoked),))


def add_member_key(command: AddMemberKey, call: Call) -> Outcome:
    """Give a member one more key. Rejects with the first of: MemberUnknown, WrongStatus, TooManyKeys, KeyValidityInvalid, KeyInvalid, KeyTaken."""
    member = _own_member(command.member_id, call)
    status = step(MEMBER_LIFECYCLE, member.status, "add_key")
    if len(member.keys) >= KEYS_MAX:
        raise TooManyKeys(f"A member may have {KEYS_MAX} keys ever; add a new member.", "member_id")
    key = _new_key(command.public_key, command.valid_until_ms, call)
    changed = replace(member, status=status, keys=(*member.keys, key))
    return Outcome(writes=(changed,), events=(Event("member.key_added", changed),))


def revoke_member_key(command: RevokeMemberKey, call: Call) -> Outcome:
    """Stop a key from counting. Rejects with the first of: MemberUnknown, WrongStatus, KeyUnknown, LastAdministrator."""
    member = _own_member(command.member_id, call)
    status = step(MEMBER_LIFECYCLE, member.status, "revoke_key")
    key = member.key(command.public_key)
    if key is None or key.revoked_at_ms:
        raise KeyUnknown("The member has no such key that is not revoked.", "public_key")
    revoked = replace(key, revoked_at_ms=call.block.time_ms)
    keys = tuple(revoked if k is key else k for k in member.keys)
    changed = replace(member, status=status, keys=keys)
    _require_administrator_left(member, changed, call, "public_key")
    return Outcome(writes=(changed,), events=(Event("member.key_revoked", changed),))


def set_member_roles(command: SetMemberRoles, call: Call) -> Outcome:
    """Replace a member's roles. Rejects with the first of: MemberUnknown, WrongStatus, RolesInvalid, TooManyAdministrators, LastAdministrator."""
    member = _own_member(command.member_id, call)
    status = step(MEMBER_LIFECYCLE, member.status, "set_roles")
    roles = checked_roles(command.roles, "roles")
    if Role.ADMINISTRATOR in roles and Role.ADMINISTRATOR not in member.roles:
        _require_room_for_administrator(call)
    changed = replace(member, status=status, roles=roles)
    _require_administrator_left(member, changed, call, "roles")
    return Outcome(writes=(changed,), events=(Event("member.roles_set", changed),))


def set_node_ids(command: SetNodeIds, call: Call) -> Outcome:
    """Replace the organization's node ids. Rejects with the first of: OrganizationUnknown, NodeIdsInvalid, NodeIdTaken."""
    organization = present_organization(call.view, call.sender.organization, "signer")
    status = step(ORGANIZATION_LIFECYCLE, organization.status, "set_node_ids")
    _require_node_ids(command.node_ids, organization.id, call.view, "node_ids")
    changed = replace(organization, status=status, node_ids=command.node_ids)
    return Outcome(writes=(changed,), events=(Event("organization.node_ids_set", changed),))


def required_to_govern(_: object, call: Call) -> tuple[str, ...]:
    """Who must accept a change of the ledger itself: its parties, or on omni all members that do more than observe."""
    return governors(call.view, _governing_position(call))


def required_to_remove(command: RemoveOrganization, call: Call) -> tuple[str, ...]:
    """All that govern the ledger but the one that is to go."""
    return tuple(o for o in required_to_govern(command, call) if o != command.organization_id)


def check_admission(command: AdmitOrganization, call: Call) -> None:
    """Rejects with the first of: OrganizationInvalid, NodeIdsInvalid, NodeIdTaken, OrganizationPresent, TooManyOrganizations, AdmittedMembersInvalid, RolesInvalid, KeyInvalid, KeyTaken."""
    organization = command.organization
    _check_admitted(organization, call)
    _require_node_ids(organization.node_ids, organization.id, call.view, "organization.node_ids")
    before = call.view.get(ORGANIZATION, organization.id)
    if before is not None and before.status == OrganizationStatus.ACTIVE:
        raise OrganizationPresent(
            "The organization is on this ledger already.", "organization.id", existing_id=before.id
        )
    if len(call.view.find(ORGANIZATION, "keys", "present", ORGANIZATIONS_MAX)) >= ORGANIZATIONS_MAX:
        raise TooManyOrganizations(f"A ledger may have {ORGANIZATIONS_MAX} organizations.", "organization")
    for place, member in enumerate(command.members):
        _check_admitted_member(member, organization.id, call, f"members[{place}]")
    public_keys = [member.keys[0].public_key for member in command.members]
    if len(frozenset(public_keys)) != len(public_keys):
        raise KeyTaken("Two members have the same key.", "members")
    administrated = any(Role.ADMINISTRATOR in member.roles for member in command.members)
    if before is None and not administrated:
        raise AdmittedMembersInvalid("At least one member must be an administrator.", "members")


def admit_organization(command: AdmitOrganization, call: Call) -> Outcome:
    """Write the organization and its members; its former members are back with it. Rejects as `check_admission`."""
    check_admission(command, call)
    now_ms = call.block.time_ms
    members = tuple(
        replace(member, keys=(replace(member.keys[0], valid_from_ms=now_ms),)) for member in command.members
    )
    organization = command.organization
    return Outcome(
        writes=(organization, *members),
        events=(
            Event("organization.admitted", organization),
            *(Event("member.added", member) for member in members),
        ),
    )


def check_removal(command: RemoveOrganization, call: Call) -> None:
    """Rejects with the first of: OrganizationUnknown, CannotBeRemoved."""
    organization = present_organization(call.view, command.organization_id, "organization_id")
    fixed = organization.position in (Position.PARTY, Position.NEUTRAL)
    if fixed or organization.validator_key:
        raise CannotBeRemoved(
            f"A {organization.position} that validates can't be removed; only observers and omni's other members.",
            "organization_id",
        )


def remove_organization(command: RemoveOrganization, call: Call) -> Outcome:
    """End an organization's access: none of its members counts while it is removed. Rejects as `check_removal`."""
    check_removal(command, call)
    organization = present_organization(call.view, command.organization_id, "organization_id")
    status = step(ORGANIZATION_LIFECYCLE, organization.status, "remove")
    removed = replace(organization, status=status, node_ids=(), removed_at_ms=call.block.time_ms)
    return Outcome(writes=(removed,), events=(Event("organization.removed", removed),))


def checked_roles(roles: tuple[str, ...], field: str) -> tuple[Role, ...]:
    """The roles, if they are known, sorted and distinct. Rejects with RolesInvalid."""
    known = tuple(sorted(role.value for role in Role))
    if not roles or any(role not in known for role in roles) or list(roles) != sorted(frozenset(roles)):
        raise RolesInvalid(f"Give one or more of {', '.join(known)}, sorted, none twice.", field)
    return tuple(Role(role) for role in roles)


def _governing_position(call: Call) -> Position:
    return Position.MEMBER if call.ledger_kind == "omni" else Position.PARTY


def _own_member(member: str, call: Call) -> Member:
    """Another organization's members are unknown here: a refusal says nothing about them."""
    found = call.view.get(MEMBER, member)
    if found is None or found.organization_id != call.sender.organization:
        raise MemberUnknown(f"Your organization has no member {member!r}.", "member_id")
    return found


def _new_key(public_key: bytes, valid_until_ms: int, call: Call) -> MemberKey:
    now_ms = call.block.time_ms
    if valid_until_ms and valid_until_ms <= now_ms:
        raise KeyValidityInvalid("The key's validity must end in the future; 0 is without end.", "valid_until_ms")
    _require_fresh_key(public_key, call.view, "public_key")
    return MemberKey(public_key=public_key, valid_from_ms=now_ms, valid_until_ms=valid_until_ms)


def _require_fresh_key(public_key: bytes, view: View, field: str) -> None:
    """Rejects with KeyInvalid, KeyTaken."""
    try:
        check_public_key(public_key)
    except PublicKeyInvalid as error:
        raise KeyInvalid(f"Not an Ed25519 public key that may sign: {error}", field) from error
    if view.find(MEMBER, "keys", f"known/{public_key.hex()}", 1):
        raise KeyTaken("A member of this ledger has or had this key; make a new one.", field)


def _administrators(call: Call) -> tuple[Member, ...]:
    term = f"administrator/{call.sender.organization}"
    return call.view.find(MEMBER, "keys", term, ADMINISTRATORS_MAX)


def _require_room_for_administrator(call: Call) -> None:
    if len(_administrators(call)) >= ADMINISTRATORS_MAX:
        raise TooManyAdministrators(f"An organization may have {ADMINISTRATORS_MAX} administrators.", "roles")


def _require_administrator_left(before: Member, after: Member, call: Call, field: str) -> None:
    now_ms = call.block.time_ms
    if not before.is_administrator(now_ms) or after.is_administrator(now_ms):
        return
    if not any(m.is_administrator(now_ms) for m in _administrators(call) if m.id != after.id):
        raise LastAdministrator("The organization would have no administrator left that can sign.", field)


def _require_node_ids(node_ids: tuple[str, ...], organization: str, view: View, field: str) -> None:
    """Rejects with NodeIdsInvalid, NodeIdTaken."""
    well_formed = all(_NODE_ID.fullmatch(node_id) for node_id in node_ids)
    if not well_formed or len(node_ids) > NODE_IDS_MAX or list(node_ids) != sorted(frozenset(node_ids)):
        raise NodeIdsInvalid(
            f"Give at most {NODE_IDS_MAX} node ids of 40 lower-case hexadecimal digits, sorted, none twice.", field
        )
    for node_id in node_ids:
        if any(o.id != organization for o in view.find(ORGANIZATION, "keys", f"node/{node_id}", 2)):
            raise NodeIdTaken(f"The node id {node_id} belongs to another organization.", field)


def _check_admitted(organization: Organization, call: Call) -> None:
    """What an admission may say about an organization. Rejects with OrganizationInvalid."""
    omni = call.ledger_kind == "omni"
    positions = (Position.MEMBER, Position.OBSERVER) if omni else (Position.OBSERVER,)
    problem = field = ""
    if not 1 <= len(organization.name) <= NAME_CHARACTERS_MAX:
        problem, field = f"A name has 1 to {NAME_CHARACTERS_MAX} characters.", "name"
    elif organization.position not in positions:
        problem, field = f"It can be admitted as {' or '.join(positions)}.", "position"
    elif organization.status != OrganizationStatus.ACTIVE:
        problem, field = "It must be given as active.", "status"
    elif organization.removed_at_ms:
        problem, field = "It must be 0.", "removed_at_ms"
    elif organization.validator_key:
        problem, field = "The set of validators can't change.", "validator_key"
    elif not 1 <= len(organization.ca_certificate) <= CA_CERTIFICATE_BYTES_MAX:
        problem, field = f"Give the CA's certificate in DER, at most {CA_CERTIFICATE_BYTES_MAX} bytes.", "ca_certificate"
    elif not 1 <= len(organization.ca_public_key) <= CA_PUBLIC_KEY_BYTES_MAX:
        problem, field = f"Give the CA's public key, at most {CA_PUBLIC_KEY_BYTES_MAX} bytes.", "ca_public_key"
    elif organization.id != organization_id(organization.ca_public_key):
        problem, field = "It must be the one that derives from the CA's public key.", "id"
    if problem:
        raise OrganizationInvalid(problem, f"organization.{field}")


def _check_admitted_member(member: Member, organization: str, call: Call, path: str) -> None:
    """Rejects with the first of: AdmittedMembersInvalid, RolesInvalid, KeyInvalid, KeyTaken."""
    key = member.keys[0] if len(member.keys) == 1 else None
    plain = key is not None and member == Member(
        id=member_id(organization, key.public_key),
        organization_id=organization,
        roles=member.roles,
        keys=(MemberKey(public_key=key.public_key, valid_until_ms=key.valid_until_ms),),
    )
    if key is None or not plain:
        raise AdmittedMembersInvalid(
            "A member comes active, with one key that is not revoked, with ids that derive from it, and with"
            " valid_from_ms 0: its validity begins when the act takes effect.",
            path,
        )
    if key.valid_until_ms and key.valid_until_ms <= call.block.time_ms:
        raise AdmittedMembersInvalid("The key's validity must end in the future; 0 is without end.", path)
    checked_roles(member.roles, f"{path}.roles")
    _require_fresh_key(key.public_key, call.view, f"{path}.keys[0].public_key")


def _by_administrator(name: str, command: type[object], handler: object) -> MessageType:
    return MessageType(
        name=name, command=command, handler=handler, roles=(Role.ADMINISTRATOR,), positions=EVERYBODY  # type: ignore[arg-type]
    )


CONTRACT: Final = Contract(
    name="membership",
    kinds=(ORGANIZATION, MEMBER, RULES),
    messages=(
        _by_administrator("add_member", AddMember, add_member),
        _by_administrator("revoke_member", RevokeMember, revoke_member),
        _by_administrator("add_member_key", AddMemberKey, add_member_key),
        _by_administrator("revoke_member_key", RevokeMemberKey, revoke_member_key),
        _by_administrator("set_member_roles", SetMemberRoles, set_member_roles),
        _by_administrator("set_node_ids", SetNodeIds, set_node_ids),
    ),
    acts=(
        ActType(
            name="admit_organization",
            command=AdmitOrganization,
            required=required_to_govern,
            check=check_admission,
            enact=admit_organization,
            roles=(Role.ADMINISTRATOR,),
            positions=GOVERNING,
        ),
        ActType(
            name="remove_organization",
            command=RemoveOrganization,
            required=required_to_remove,
            check=check_removal,
            enact=remove_organization,
            roles=(Role.ADMINISTRATOR,),
            positions=GOVERNING,
        ),
        ActType(
            name="set_parameters",
            command=SetParameters,
            required=required_to_govern,
            check=check_set_parameters,
            enact=set_parameters,
            roles=(Role.ADMINISTRATOR,),
            positions=GOVERNING,
        ),
        ActType(
            name="schedule_version",
            command=ScheduleVersion,
            required=required_to_govern,
            check=check_schedule_version,
            enact=schedule_version,
            roles=(Role.ADMINISTRATOR,),
            positions=GOVERNING,
        ),
    ),
)

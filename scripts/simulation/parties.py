"""Organizations and their members: keys and ids by name, the same for every seed, so that they are made once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Final

from nacl.signing import SigningKey

from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import Position, Role
from smartcontracts.membership import Member, MemberKey, Organization

# Each has a member with a key of its own; an administrator may do what people do, so it has the roles of both counters.
AGENT_ROLES: Final = (Role.S_BUS, Role.B_BUS, Role.SCO, Role.SOF)
PERSON: Final = "person"
_PERSON_ROLES: Final = tuple(sorted((Role.ADMINISTRATOR, Role.S_BUS, Role.B_BUS)))


@dataclass(frozen=True, slots=True)
class Signatory:
    """A member who signs: "organization/member" and its key."""

    organization: str
    member: str
    roles: tuple[Role, ...]
    key: SigningKey

    @property
    def name(self) -> str:
        return f"{self.organization}/{self.member}"

    @property
    def public_key(self) -> bytes:
        return self.key.verify_key.encode()


@cache
def signing_key(name: str) -> SigningKey:
    return SigningKey(sha256(b"syngraph/simulation/" + name.encode()).digest())


@cache
def organization(name: str, position: Position, *, validates: bool = True) -> Organization:
    """The organization's record on a ledger where it has this position."""
    ca_public_key = b"ca of " + name.encode()
    return Organization(
        id=organization_id(ca_public_key),
        name=name,
        position=position,
        ca_certificate=b"certificate of " + name.encode(),
        ca_public_key=ca_public_key,
        node_ids=(sha256(b"node of " + name.encode()).hexdigest()[:40],),
        validator_key=signing_key(f"validator of {name}").verify_key.encode() if validates else b"",
    )


@cache
def org_id(name: str) -> str:
    """The id of the organization of this name, on every ledger."""
    return organization(name, Position.PARTY).id


@cache
def signatory(name: str, function: str) -> Signatory:
    """The member of `name` that is an agent of this role, or its person."""
    key = signing_key(f"{name}/{function}")
    owner = org_id(name)
    roles = _PERSON_ROLES if function == PERSON else (Role(function),)
    return Signatory(owner, member_id(owner, key.verify_key.encode()), roles, key)


@cache
def member(name: str, function: str) -> Member:
    someone = signatory(name, function)
    return Member(
        id=someone.member,
        organization_id=someone.organization,
        roles=someone.roles,
        keys=(MemberKey(public_key=someone.public_key),),
    )


def members(name: str) -> tuple[Member, ...]:
    """Everybody of an organization: one a role, and a person."""
    return tuple(member(name, function) for function in (*AGENT_ROLES, PERSON))

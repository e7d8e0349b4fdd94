"""Calls of the node's own agents, in its own process: the same services and the same judgement of each call, without TLS to itself.

Who calls is told by the certificate, as over gRPC: its chain, its dates and its standing are checked on every call. That the caller has
its key is not proven; it is this process that reads both files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from ledgers.client import ClientError, TimedOut
from ledgers.client.connection import CALL_TIMEOUT_S
from ledgers.client.errors import of_rpc_error


class InsideCalls:
    """The way of a member with this certificate (PEM) to the services of this process. Same errors as a connection."""

    def __init__(self, services: Sequence[Any], certificate: bytes) -> None:
        """The first of `services` that has a method answers it."""
        self._services = tuple(services)
        self._certificate = certificate

    async def close(self) -> None:
        """Nothing is open."""

    async def call(self, method: str, request: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call a unary method."""
        context = _Context(self._certificate, asyncio.get_running_loop().time() + timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._method(method)(request, context)
        except TimeoutError as error:
            raise TimedOut("no answer came in time") from error
        except Exception as error:
            raise _of(error) from error

    async def stream(self, method: str, request: Any) -> AsyncGenerator[Any, None]:
        """Call a method that answers with a stream."""
        answers = self._method(method)(request, _Context(self._certificate, None))
        try:
            async for answer in answers:
                yield answer
        except Exception as error:
            raise _of(error) from error
        finally:
            await answers.aclose()

    def _method(self, name: str) -> Any:
        return next(getattr(service, name) for service in self._services if hasattr(service, name))


class _Aborted(grpc.RpcError):
    """A call that a service ended: what gRPC would tell the caller."""

    def __init__(self, status: grpc.StatusCode, details: str, trailers: Sequence[tuple[str, bytes]]) -> None:
        super().__init__(details)
        self._status = status
        self._details = details
        self._trailers = tuple(trailers)

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailers


class _Context:
    """As much of a service's context as the services use."""

    def __init__(self, certificate: bytes, deadline: float | None) -> None:
        self._certificate = certificate
        self._deadline = deadline

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return {"x509_pem_cert": (self._certificate,)}

    def time_remaining(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, bytes]] = ()
    ) -> NoReturn:
        raise _Aborted(code, details, trailing_metadata)


def _of(error: Exception) -> ClientError:
    """What a call's failure means to who called; of what nobody foresaw no more than its sort, as over gRPC."""
    if isinstance(error, ClientError):
        return error
    if isinstance(error, grpc.RpcError):
        return of_rpc_error(error)
    return ClientError(f"UNKNOWN: {type(error).__name__}")

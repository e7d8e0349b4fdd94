"""LSO Sonata payloads: the published samples, where they are beside the checkout, and small ones of our own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

DIRECTORY = Path(__file__).resolve().parents[3] / "shared" / "specs" / "lso-sonata-grace" / "payloads"
NAMES = (
    "uc01-address-validation-request.json",
    "uc01-address-validation-response.json",
    "uc02a-poq-new-epl-new-unis.json",
    "uc02b-poq-new-evpl-new-unis.json",
    "uc02c-poq-new-ep-lan-new-unis-new-end-points.json",
    "uc02d-poq-new-evp-lan-new-unis-new-end-points.json",
    "uc02e-poq-new-ep-tree-new-unis-new-end-points.json",
    "uc02f-poq-new-evp-tree-new-unis-new-end-points.json",
    "uc03a-poq-new-epl-new-unis.json",
    "uc03b-poq-new-evpl-existing-uni-new-uni.json",
    "uc04-quote-new-epl.json",
    "uc05-product-order-new-epl.json",
    "uc06-poq-epl-bandwidth-change.json",
    "uc07-poq-evp-lan-add-uni-and-end-point.json",
    "uc08-poq-ep-tree-remove-uni-and-end-point.json",
    "uc09-product-order-evpl-vlan-change-at-the-uni.json",
    "uc12-product-order-epl-decommission.json",
)

CONTACT = {
    "emailAddress": "jo.doe@buyer.example.com",
    "name": "Jo Doe",
    "number": "12-345",
    "role": "buyerContactInformation",
}


def sample(name: str) -> bytes:
    """A published payload; the test is skipped where there is none, and fails under CI."""
    path = DIRECTORY / name
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the sample {name} is missing", pytrace=False)
        pytest.skip(f"the sample {name} is absent")
    return path.read_bytes()


def quote_item(item_id: str = "1", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": item_id,
        "action": "add",
        "requestedQuoteItemTerm": {
            "duration": {"amount": 12, "units": "calendarMonths"},
            "endOfTermAction": "autoRenew",
            "name": "Yearly",
        },
        "relatedContactInformation": [CONTACT],
        "product": {
            "productOffering": {"id": "port"},
            "place": [{"@type": "GeographicAddressRef", "id": "a-1", "role": "INSTALL_LOCATION"}],
            "productConfiguration": {"@type": "urn:test:port", "carrierEthernetSls": [{"deltaT": 10}], "speed": 1.50},
        },
    }
    return {key: value for key, value in (made | changes).items() if value is not None}


def quote_request(*items: dict[str, Any], **changes: Any) -> bytes:
    made: dict[str, Any] = {
        "externalId": "Q-1",
        "projectId": "P-1",
        "buyerRequestedQuoteLevel": "firm",
        "instantSyncQuote": False,
        "relatedContactInformation": [CONTACT],
        "quoteItem": list(items) or [quote_item()],
    }
    return json.dumps({key: value for key, value in (made | changes).items() if value is not None}).encode()


def order_item(item_id: str = "1", **changes: Any) -> dict[str, Any]:
    made = quote_item(item_id)
    made["requestedItemTerm"] = made.pop("requestedQuoteItemTerm")
    return {key: value for key, value in (made | changes).items() if value is not None}


def product_order(*items: dict[str, Any], **changes: Any) -> bytes:
    made: dict[str, Any] = {
        "externalId": "O-1",
        "relatedContactInformation": [CONTACT],
        "productOrderItem": list(items) or [order_item()],
    }
    return json.dumps({key: value for key, value in (made | changes).items() if value is not None}).encode()

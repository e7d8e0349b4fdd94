"""ISO 4217: active currency codes and the digits of their minor unit, as of contracts version 1.

Part of the rules: a change needs a new `contracts_version`. Funds codes, metals and codes without a minor unit are left out.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_TWO: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP"
    " CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES"
    " KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK"
    " NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB"
    " TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_NONE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"

# Code -> digits of the minor unit.
MINOR_DIGITS: Final = MappingProxyType(
    {
        **dict.fromkeys(_NONE.split(" "), 0),
        **dict.fromkeys(_TWO.split(" "), 2),
        **dict.fromkeys(_THREE.split(" "), 3),
    }
)

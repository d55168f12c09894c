"""Drivers: how a device is found and opened. See docs/adding-a-driver.md."""

from __future__ import annotations

from abc import ABC, abstractmethod

from webree.hal.device import AdapterInfo, Device
from webree.waiting import Suspendable

__all__ = ["Driver"]


class Driver(ABC):
    """A way to reach devices. Making a driver object must be cheap and must not fail; looking is what may fail.

    Attributes:
        name: its name in the registry and on the command line.
    """

    name: str

    @abstractmethod
    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        """All adapters there are, best first (hardware before software); an empty list if there is none."""

    @abstractmethod
    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        """Open a device on an adapter (the best if None) with the highest limits and all known features it has.

        Raises `DeviceError` that says what to install or which flag to set if there is no adapter."""

    def missing(self) -> dict[str, str]:
        """Adapters that this machine could have and has not: name -> what to install."""
        return {}

"""A Nameko service: remote calls, events, errors."""

from nameko.events import EventDispatcher, event_handler
from nameko.rpc import RpcProxy, rpc

SOLD = []


class Prices:
    name = "prices"

    @rpc
    def of(self, item):
        if item == "nothing":
            raise ValueError("no such item")
        return len(item)


class Shop:
    name = "shop"

    prices = RpcProxy("prices")
    dispatch = EventDispatcher()

    @rpc
    def sell(self, item):
        price = self.prices.of(item)
        self.dispatch("sold", {"item": item, "price": price})
        return price

    @event_handler("shop", "sold")
    def note(self, event):
        SOLD.append(event["item"])

    @rpc
    def report(self):
        return SOLD

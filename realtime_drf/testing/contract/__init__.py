"""The contract that every transport must fulfil, as a class of tests to subclass."""

from realtime_drf.testing.contract.abilities import Claims
from realtime_drf.testing.contract.arrival import Arrival, Exclusion, Names
from realtime_drf.testing.contract.evidence import Received
from realtime_drf.testing.contract.failures import ServiceFailures, Unsent
from realtime_drf.testing.contract.limits import CountLimits, SizeLimits
from realtime_drf.testing.contract.making import Making, Showing, Travelling
from realtime_drf.testing.contract.sharing import Sharing

__all__ = ["Received", "TransportContract"]


class TransportContract(
    Arrival,
    Names,
    Exclusion,
    SizeLimits,
    CountLimits,
    ServiceFailures,
    Unsent,
    Sharing,
    Making,
    Showing,
    Travelling,
    Claims,
):
    """The tests of a transport: subclass this, and write `create_transport` and `received`.

    Each method whose name begins with ``test_`` is a clause. The class runs in pytest, and in
    unittest if it is a ``unittest.TestCase`` as well::

        class TestAcme(TransportContract):
            @pytest.fixture(autouse=True)
            def _service(self, acme):
                self.acme = acme

            def create_transport(self, **options):
                return AcmeTransport(url=self.acme.url, **options)

            def received(self):
                return [Received(each.channel, each.event, each.data) for each in self.acme.seen]

    A clause whose hook is not written is skipped, with a reason. The hooks, the most useful first:
    `create_unreachable_transport`, `create_refused_transport`, `create_confused_transport`, and
    ``secrets``; then those of what the transport claims: `create_socket_id`, `occupy`,
    `disconnected_users`, `authorization_data`, `admits` and
    `create_webhook`. `watch` is for services that one must subscribe to; `intercept` for
    transports that send events without ``send_batch``. See their docstrings.
    """

    __test__ = False

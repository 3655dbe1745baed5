"""Whether Python's threads are real: gevent and eventlet replace them by greenlets."""

from __future__ import annotations

import sys


def check_threads() -> None:
    """Raise ValueError, with a sentence that says the mend, where there are no real threads.

    An event loop in a greenlet is the running loop of all other greenlets, too: Django then forbids
    the ORM in all of them. In a thread of the system, beside greenlets, gevent makes the process
    hang or crash when it ends.
    """
    replaced = {
        "gevent": ("gevent.monkey", "is_module_patched", "threading"),
        "eventlet": ("eventlet.patcher", "is_monkey_patched", "thread"),
    }
    for library, (module, has_replaced, name) in replaced.items():
        patcher = sys.modules.get(module)
        if patcher is not None and getattr(patcher, has_replaced)(name):
            raise ValueError(
                f"{library} has replaced Python's threads, and a channel layer that reaches other "
                f"processes needs one for its event loop: use processes or threads, as Celery's "
                f"pools 'prefork' and 'threads' do."
            )

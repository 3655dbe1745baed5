"""Provide the services that tests talk to: stand-ins in this process, and real ones beside it."""

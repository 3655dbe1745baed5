"""Pusher's protocol without I/O: frames, signatures, webhooks, signed user data and limits.

The Pusher transport, the Channels transport and its server share it. It imports none of them.

https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/
"""

"""The words of Pusher's protocol: frames, signatures, webhooks. It reads and writes nothing.

https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/
"""

"""The webhooks that the server sends, as Pusher does."""

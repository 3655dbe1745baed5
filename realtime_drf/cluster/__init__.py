"""What the processes of an app share: keys, options, messages to all of them, and state."""

"""Load for servers: many browsers that listen, and a few publishers, in a process of their own.

What arrives is counted by the headers of its frames and not read, so that the client takes a small
part of what the server does. `process.LoadClient` starts and commands that process.
"""

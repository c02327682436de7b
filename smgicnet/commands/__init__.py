"""A person's door: a module a command of `smgicnet`.

It may import every room, and only `smgicnet.cli` imports it, and `smgicnet` itself, when it is asked for `register`.
"""

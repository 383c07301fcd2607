"""The version of this package, the same as the server's that it came with."""

__version__ = "0.1.0"

"""The library's version, apart from ``ncm_lib`` itself, so that every floor may name it."""

__version__ = "0.1.0"

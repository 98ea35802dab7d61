"""Candles of the Moscow Exchange: collected completely, stored provably, served fast."""

__version__ = "0.1.0"

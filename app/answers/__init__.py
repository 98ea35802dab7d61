"""Candles as answers hold them: written, kept in process and shared between processes. Knows no HTTP."""

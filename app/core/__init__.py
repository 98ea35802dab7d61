"""The pure heart: what a candle is, which periods are covered, what the outside must be able to do. No I/O."""

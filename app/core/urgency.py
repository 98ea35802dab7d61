"""Whether anybody waits for what is being done: that goes before what the schedule wants.

Whatever a piece of work starts inherits it, so nobody has to hand it through.
"""

from contextvars import ContextVar

in_background: ContextVar[bool] = ContextVar("in_background", default=False)
"""Set for work that nobody waits for."""

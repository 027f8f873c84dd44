"""Why an order did, or did not, trade: its whole life, told from what is stored.

Nothing is replayed. A tick's verdict is the order's own terms held against it, and where the order could
have traded, the trades that the tick made: a waiting order that is not filled by a tick it accepts has found
all of the tick's availability taken.
"""

from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from trade.models import Order
from trade.selectors.why.life import Outcome, find_life_order, read_life, read_outcomes
from trade.selectors.why.steps import MET, Ticks, steps_of
from trade.selectors.why.words import Fact, fact_of, reserved_fact, summary_of

DEFAULT_FACTS = 100
MAX_FACTS = 500


@dataclass(frozen=True, slots=True)
class Explanation:
    """An order's life. `next_since`: when there is more to tell, the sequence to go on from."""

    order: Order
    summary: str
    facts: list[Fact]
    next_since: int | None


def explain_order(
    order_id: UUID, *, user_id: int | None, since_sequence: int | None = None, limit: int = DEFAULT_FACTS
) -> Explanation | None:
    """The order's life after `since_sequence`, or from the beginning, in at most `limit` facts.

    None when there is no such order; with a `user_id`, when it is not that user's.
    """
    order = find_life_order(order_id, user_id)
    if order is None:
        return None
    life = read_life(order, since_sequence or 0, limit)
    facts = [reserved_fact(life)] if since_sequence is None else []
    room = limit - len(facts)
    steps = list(islice(steps_of(life), room + 1))
    is_cut = life.is_cut or len(steps) > room
    del steps[room:]
    met = [step for step in steps if isinstance(step, Ticks) and step.verdict == MET]
    outcomes = read_outcomes(order, [(step.sequence, step.until) for step in met])
    facts += [fact_of(step, order, outcomes.get(step.sequence, Outcome())) for step in steps]
    return Explanation(order, summary_of(order), facts, facts[-1].sequence if is_cut else None)

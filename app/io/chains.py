"""Former names, later names and other boards of a security, for people and for programs."""

from app.use_cases.create_security import FollowedSecurity


def chain_object(followed: FollowedSecurity) -> dict[str, object]:
    """Write them as JSON has them. A new ticker is looked for on the same board."""
    lineage, board = followed.lineage, followed.card.security.board
    later = lineage.continues
    return {
        "formerly": [{"ticker": each.ticker, "until": str(each.until)} for each in lineage.formerly],
        "continues_as": None if later is None else {"security": f"{board}:{later.ticker}", "since": str(later.since)},
        "moves": [
            {"from_board": move.from_board, "to_board": move.to_board, "since": str(move.day)} for move in lineage.moves
        ],
    }


def chain_words(followed: FollowedSecurity) -> list[str]:
    """Write them as sentences without an end: `formerly TCSG until 2024-11-27`."""
    lineage, board = followed.lineage, followed.card.security.board
    words = [f"formerly {each.ticker} until {each.until}" for each in lineage.formerly]
    if later := lineage.continues:
        words.append(f"continues as {board}:{later.ticker} since {later.since}")
    return words + [f"moved from {move.from_board} to {move.to_board} on {move.day}" for move in lineage.moves]

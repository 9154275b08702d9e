"""Spans of time as people say them."""


def duration(seconds: float, *, exact: bool = False) -> str:
    """Return a time in its largest two units, such as `5 min 10 s`.

    Args:
        seconds: To be said.
        exact: Name tenths of seconds below ten of them.
    """
    if exact and seconds < 10:  # noqa: PLR2004 - as documented
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"

"""What every refusal has in common."""


class Refusal(Exception):
    """A request that a rule of the market does not allow. Nothing was changed.

    `code` is the stable word of API.md, `status` the HTTP status it is answered with, `field` the name
    of the input that broke the rule (None when no single one did).
    """

    code = "refused"
    status = 400
    field: str | None = None

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if field is not None:
            self.field = field


class UnknownUser(Refusal):
    """There is no such user, or it is not for you to know."""

    code = "not_found"
    status = 404


class DatabaseUnavailable(Refusal):
    """The database is busy or away. Whether anything was changed is not known."""

    code = "database_unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__("The database is busy or away. Try again in a moment.")

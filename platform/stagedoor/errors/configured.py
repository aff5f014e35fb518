"""What somebody configured so that it cannot be followed: tags, settings, ports."""

from stagedoor.errors.base import StagedoorError


class InvalidTag(StagedoorError):
    """The tag `key` does not say what it should; `reason` says how to write it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"Tag {self.key}: {self.reason}"


class ConfigurationError(StagedoorError):
    """Stagedoor cannot start like this."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class PortTaken(ConfigurationError):
    """Somebody else listens on `port`; `option` is the command-line option that chooses another."""

    def __init__(self, what: str, port: int, option: str) -> None:
        super().__init__(f"Port {port} for {what} is taken. Choose another with {option} PORT.")
        self.port = port
        self.option = option

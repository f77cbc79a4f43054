"""What can go wrong that a user should read about in one line."""


class ConfigError(ValueError):
    """A hyper-parameter, environment, file or folder that cannot be used."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or of another network or environment."""


class NonFiniteError(ArithmeticError):
    """A NaN or an infinity where training cannot go on; the message says where it was found."""


class ExportError(ArithmeticError):
    """An exported model that does not compute what its policy does."""

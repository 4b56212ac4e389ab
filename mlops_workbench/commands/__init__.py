"""The commands: arguments, options and results that ``mlops`` and ``%mlops`` share."""

"""The verbs: one definition of the words, options and results that ``mlops`` and ``%mlops`` share."""

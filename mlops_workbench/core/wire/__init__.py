"""Forms of values in requests, answers and files: numbers that JSON has no word for, and patterns of texts."""

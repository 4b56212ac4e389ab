"""Signatures on the files of a model, in the form of OpenSSF's model signing, and the keys for them."""

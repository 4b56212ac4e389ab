"""What a cell shows of its run, from its syntax tree and the names it left: pure, and nothing is patched."""

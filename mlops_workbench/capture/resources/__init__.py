"""Resources of runs: processor, memory, GPUs, energy, cost, and the budget."""

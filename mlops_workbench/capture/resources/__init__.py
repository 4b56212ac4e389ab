"""What runs use: processor, memory, GPUs, energy, money, and the budget for them."""

"""The network: layers, checkpoints, growth and the folded form for inference; it needs torch alone."""

"""Train a network: configuration, patches, optimiser, loop and choice of weights."""

"""What every published number rests on: images, metrics, degradations, tasks and data sets."""

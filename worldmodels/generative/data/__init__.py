"""Pictures to learn from: data sets, files, batches."""

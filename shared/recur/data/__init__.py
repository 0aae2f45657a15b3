"""Sources of data, tables, archives, splits, batches and caches."""

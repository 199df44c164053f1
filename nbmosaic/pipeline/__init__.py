"""Order, parallelism and disk: stages, runs, products. No formula lives here."""

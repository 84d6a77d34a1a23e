"""What a file of events costs, beside DuckDB and Polars."""

"""What files of rows look like: one format a file, each read into a table."""

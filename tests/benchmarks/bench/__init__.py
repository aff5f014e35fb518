"""What `make bench` measures: readings, the tables and targets that follow from them, and the page they are shown on."""

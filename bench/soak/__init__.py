"""Hours of mixed work in minutes, and whether anything is left of it; `python -m bench.soak`."""

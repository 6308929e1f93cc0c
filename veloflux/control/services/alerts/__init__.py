"""What is wrong, told once, and taken back when it is over."""
